package dev.polyphon.measure.kernels;

import dev.polyphon.engine.backend.Projection;
import dev.polyphon.engine.backend.Tensor;
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

/** Linear layers of 2048 x 2048, one after the other. */
@State(Scope.Benchmark)
public class LinearBenchmark {
    private static final int SIZE = 2048;

    @Param({"Q8_0", "Q4_1", "Q4_0", "Q4_K", "BF16", "F16", "F32"})
    public DType type;

    @Param({"1", "4", "16", "128"})
    public int rows;

    private final List<List<Projection>> layers = new ArrayList<>();
    private long bytes;
    private Tensor x;
    private int next;

    @Setup
    public void make(Device device) {
        bytes = type.bytes((long) SIZE * SIZE);
        x = device.tensor(rows, SIZE);
        Tensor y = device.tensor(rows, SIZE);
        try (Arena arena = Arena.ofConfined()) {
            TensorView matrix = RandomTensor.of(arena, "weight", type, 1, 1, SIZE, SIZE);
            for (long made = 0; made < Device.CYCLED; made += bytes) {
                layers.add(List.of(new Projection(device.own(device.kernels.weight(matrix)), null, y)));
            }
        }
    }

    @Benchmark
    public void linear(Device device, Work work) {
        next = (next + 1) % layers.size();
        device.kernels.linear(x, 0, rows, layers.get(next));
        work.did(bytes, (double) rows * SIZE * SIZE);
    }
}
