package dev.polyphon.server.tenant;

import java.time.Instant;

/**
 * What was used, of one kind in one span of time.
 *
 * @param from when the span began
 * @param counts what was counted
 */
public record Usage(Instant from, Kind kind, Counts counts) {

    /**
     * Who used what.
     *
     * @param adapter empty for the base alone; several of a mix are joined by {@code +}
     */
    public record Kind(String tenant, String model, String adapter) {}

    /**
     * Amounts, which add up.
     *
     * @param requests generations begun: each prompt of a request is one
     * @param cachedTokens tokens of the prompts that had been computed before
     * @param millis time in the batch
     * @param estimatedTokens tokens of prompts and outputs that are not in the other numbers: an estimate of what was lost when a server died
     */
    public record Counts(long requests, long promptTokens, long cachedTokens, long generatedTokens, long millis, long estimatedTokens) {
        public static final Counts NONE = new Counts(0, 0, 0, 0, 0, 0);

        public Counts plus(Counts other) {
            return new Counts(requests + other.requests, promptTokens + other.promptTokens, cachedTokens + other.cachedTokens,
                    generatedTokens + other.generatedTokens, millis + other.millis, estimatedTokens + other.estimatedTokens);
        }

        Counts minus(Counts other) {
            return new Counts(requests - other.requests, promptTokens - other.promptTokens, cachedTokens - other.cachedTokens,
                    generatedTokens - other.generatedTokens, millis - other.millis, estimatedTokens - other.estimatedTokens);
        }
    }
}
