package dev.polyphon.server.observe;

/** Upper bounds of the classic histograms. */
final class Buckets {
    /** From a step's time to a long answer's, in seconds. */
    static final double[] SECONDS = {
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300
    };

    static final double[] COUNTS = {0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512};

    private Buckets() {}
}
