package dev.polyphon.measure.kernels;

import dev.polyphon.engine.backend.Activation;
import dev.polyphon.engine.backend.NormKind;
import dev.polyphon.engine.backend.RotaryTable;
import dev.polyphon.engine.backend.Tensor;
import dev.polyphon.engine.backend.Weight;
import dev.polyphon.engine.weights.DType;
import dev.polyphon.measure.random.RandomTensor;
import java.lang.foreign.Arena;
import java.util.Arrays;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;

/** What is done value by value, on rows of 2048 and, in the MLP, 8192: its data stay in the caches, as they do in a step. Bytes read and written. */
@State(Scope.Benchmark)
public class PointwiseBenchmark {
    private static final int HIDDEN = 2048;
    private static final int INTERMEDIATE = 8192;
    private static final int HEAD = 64;
    private static final int VOCABULARY = 32768;

    @Param({"1", "16", "128"})
    public int rows;

    private Tensor x;
    private Tensor y;
    private Tensor weight;
    private Tensor gate;
    private Tensor up;
    private Tensor activated;
    private RotaryTable rotary;
    private Arena arena;
    private Weight table;
    private int[] positions;
    private int[] ids;
    private int[] order;

    @Setup(Level.Trial)
    public void make(Device device) {
        x = device.tensor(rows, HIDDEN);
        y = device.tensor(rows, HIDDEN);
        weight = device.tensor(1, HIDDEN);
        gate = device.tensor(rows, INTERMEDIATE);
        up = device.tensor(rows, INTERMEDIATE);
        activated = device.tensor(rows, INTERMEDIATE);
        float[] frequencies = new float[HEAD / 2];
        for (int i = 0; i < frequencies.length; i++) {
            frequencies[i] = (float) Math.pow(10_000, -2.0 * i / HEAD);
        }
        rotary = device.own(device.kernels.rotaryTable(frequencies, 1, 4096));
        arena = Arena.ofShared();
        table = device.own(device.kernels.rows(RandomTensor.of(arena, "table", DType.Q8_0, 1, 1, VOCABULARY, HIDDEN)));
        positions = new int[rows];
        ids = new int[rows];
        order = new int[rows];
        Arrays.setAll(positions, i -> 512 + i);
        Arrays.setAll(order, i -> rows - 1 - i);
        Arrays.setAll(ids, i -> (7919 * i + 1) % VOCABULARY);
    }

    @TearDown(Level.Trial)
    public void close() {
        arena.close();
    }

    @Benchmark
    public void embed(Device device, Work work) {
        device.kernels.embed(table, ids, rows, 1, y);
        work.did(rows * (DType.Q8_0.bytes(HIDDEN) + 4.0 * HIDDEN), 0);
    }

    @Benchmark
    public void norm(Device device, Work work) {
        device.kernels.norm(NormKind.RMS, 1e-5f, weight, null, HIDDEN, x, rows, y);
        work.did(8.0 * rows * HIDDEN, 0);
    }

    @Benchmark
    public void rotary(Device device, Work work) {
        device.kernels.rotary(rotary, false, x, rows, HEAD, positions);
        work.did(8.0 * rows * HIDDEN, 0);
    }

    @Benchmark
    public void activate(Device device, Work work) {
        device.kernels.activate(Activation.SILU, gate, up, rows, activated);
        work.did(12.0 * rows * INTERMEDIATE, 0);
    }

    @Benchmark
    public void add(Device device, Work work) {
        device.kernels.add(y, x, rows);
        work.did(12.0 * rows * HIDDEN, 0);
    }

    @Benchmark
    public void gather(Device device, Work work) {
        device.kernels.gather(x, order, rows, y);
        work.did(8.0 * rows * HIDDEN, 0);
    }
}
