package dev.polyphon.measure.kernels;

import dev.polyphon.engine.backend.Kernels;
import dev.polyphon.engine.backend.Owned;
import dev.polyphon.engine.backend.Tensor;
import dev.polyphon.engine.backend.cpu.CpuKernels;
import java.util.SplittableRandom;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;

/** The kernels under test, and what was made with them. */
@State(Scope.Benchmark)
public class Device {
    /** So much is cycled through, that it does not stay in a cache from one call to the next; in a model it would not either. */
    static final long CYCLED = 160L << 20;

    @Param({"cpu", "cpu:vector"})
    public String device;

    @Param("0")
    public int threads;

    Kernels kernels;
    private final SplittableRandom random = new SplittableRandom(1);
    private final Owned owned = new Owned();

    @Setup(Level.Trial)
    public void open() {
        kernels = CpuKernels.open(threads == 0 ? Runtime.getRuntime().availableProcessors() : threads, device.equals("cpu"));
    }

    @TearDown(Level.Trial)
    public void close() {
        owned.close();
        kernels.close();
    }

    <T extends AutoCloseable> T own(T made) {
        return owned.own(made);
    }

    /** A tensor of random values from -1 to 1. */
    Tensor tensor(int rows, int columns) {
        Tensor tensor = own(kernels.tensor(rows, columns));
        float[] values = new float[rows * columns];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) (2 * random.nextDouble() - 1);
        }
        kernels.write(tensor, 0, rows, values);
        return tensor;
    }
}
