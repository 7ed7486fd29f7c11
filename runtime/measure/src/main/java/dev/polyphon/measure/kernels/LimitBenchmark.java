package dev.polyphon.measure.kernels;

import dev.polyphon.engine.backend.cpu.MachineLimits;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;

/** The machine's limits, on as many threads as JMH runs. */
@State(Scope.Thread)
public class LimitBenchmark {
    private static final long BYTES = 128 << 20;
    private MachineLimits limits;

    @Setup
    public void open() {
        limits = new MachineLimits(BYTES);
    }

    @TearDown
    public void close() {
        limits.close();
    }

    /** As STREAM would, but reading only, which is what weights need. */
    @Benchmark
    public float read(Work work) {
        work.did(BYTES, 0);
        return limits.read();
    }

    @Benchmark
    public void readByCode(Work work) {
        work.did(BYTES, 0);
        limits.readByCode();
    }

    @Benchmark
    public float floats(Work work) {
        work.did(0, MachineLimits.FLOAT_PRODUCTS);
        return limits.floats();
    }

    @Benchmark
    public void floatsByCode(Work work) {
        work.did(0, MachineLimits.FLOAT_PRODUCTS);
        limits.floatsByCode();
    }

    @Benchmark
    public void words(Work work) {
        work.did(0, MachineLimits.WORD_PRODUCTS);
        limits.words();
    }
}
