package dev.polyphon.measure.kernels;

import dev.polyphon.engine.backend.LowRank;
import dev.polyphon.engine.backend.Tensor;
import dev.polyphon.engine.backend.Weight;
import dev.polyphon.engine.weights.DType;
import dev.polyphon.engine.weights.TensorView;
import dev.polyphon.measure.random.RandomTensor;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;

/** Low-rank deltas of bf16 at layers of 2048 x 2048, for 16 rows: of one adapter, or of as many as there are rows. */
@State(Scope.Benchmark)
public class LowRankBenchmark {
    private static final int SIZE = 2048;
    private static final int ROWS = 16;

    @Param({"1", "16"})
    public int adapters;

    @Param({"8", "16", "64"})
    public int rank;

    private final List<List<LowRank>> layers = new ArrayList<>();
    private long bytes;
    private Tensor x;
    private int next;

    @Setup
    public void make(Device device) {
        bytes = adapters * DType.BF16.bytes(2L * SIZE * rank);
        x = device.tensor(ROWS, SIZE);
        Tensor y = device.tensor(ROWS, SIZE);
        int rows = ROWS / adapters;
        try (Arena arena = Arena.ofConfined()) {
            TensorView a = RandomTensor.of(arena, "a", DType.BF16, 1, 1, rank, SIZE);
            TensorView b = RandomTensor.of(arena, "b", DType.BF16, 1, 2, SIZE, rank);
            for (long made = 0; made < Device.CYCLED; made += bytes) {
                List<LowRank> items = new ArrayList<>();
                for (int i = 0; i < adapters; i++) {
                    Weight down = device.own(device.kernels.weight(a));
                    items.add(new LowRank(i * rows, rows, down, device.own(device.kernels.weight(b)), 1e-3f, y));
                }
                layers.add(items);
            }
        }
    }

    @Benchmark
    public void lowRank(Device device, Work work) {
        next = (next + 1) % layers.size();
        device.kernels.lowRank(x, layers.get(next));
        work.did(bytes, 2.0 * ROWS * SIZE * rank);
    }
}
