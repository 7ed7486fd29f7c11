package dev.polyphon.bench;

/**
 * What became of one request. Times in nanoseconds since it was sent.
 *
 * @param error why it failed; null if it did not
 */
record Sample(long firstToken, long lastToken, int tokens, String error) {
    static Sample failed(String error) {
        return new Sample(0, 0, 0, error);
    }

    boolean ok() {
        return error == null;
    }

    /** Time per output token after the first. */
    double perToken() {
        return (double) (lastToken - firstToken) / Math.max(1, tokens - 1);
    }
}
