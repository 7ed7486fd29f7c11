package dev.polyphon.engine.backend.cuda;

import org.junit.jupiter.api.Assumptions;

/** The first GPU of the machine, for tests that need one. */
public final class Gpu {
    private static final long MEMORY = 2L << 30;

    private Gpu() {}

    /** Opens it, or skips the test, saying why. */
    public static CudaKernels open(Precision precision) {
        return open(MEMORY, precision);
    }

    /** @param memory bytes to take of it */
    static CudaKernels open(long memory, Precision precision) {
        try {
            return CudaKernels.open(0, memory, precision);
        } catch (CudaException e) {
            String why = "skipped, no GPU: " + e.getMessage();
            System.err.println(why);
            return Assumptions.abort(why);
        }
    }
}
