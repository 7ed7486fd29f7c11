package dev.polyphon.server.cli.batch;

/** The failed tries of one request. Where it was one too many and others were answered since it last failed, it only waited for its turn: that does not count. */
final class Tries {
    private final int retries;
    private long seen;
    private int failures;

    /** @param answered requests of the run that have been answered */
    Tries(int retries, long answered) {
        this.retries = retries;
        seen = answered;
    }

    /**
     * It failed once more.
     *
     * @param tooMany whether only for want of room
     * @return whether it is to be tried again
     */
    boolean failed(boolean tooMany, long answered) {
        if (!tooMany || answered == seen) {
            failures++;
        }
        seen = answered;
        return failures <= retries;
    }

    /** Those that count. */
    int failures() {
        return failures;
    }
}
