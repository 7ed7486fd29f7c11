package dev.polyphon.engine.schedule;

import java.time.Duration;

/**
 * Sizes the part of a step that reads prompts, so that sequences that go on in the same step get their tokens in time (stall-free batching, Sarathi-Serve,
 * Agrawal et al. 2024, with the chunk found by measuring). A step that took too long makes the next chunk smaller in proportion; one that filled its
 * chunk and had time left makes it larger. Used by the step loop's thread alone.
 */
final class ChunkPacer {
    /** Prompts get so many rows in any case, so that they end. */
    static final int LEAST = 16;
    private static final double MOST_SHRINKING = 0.5;
    private static final double MOST_GROWTH = 1.25;

    private final long goal;
    private double chunk = Integer.MAX_VALUE;

    /** @param goal time of a step that has both; null for any */
    ChunkPacer(Duration goal) {
        this.goal = goal == null ? Long.MAX_VALUE : goal.toNanos();
    }

    /** Rows of prompts beside sequences that go on, of so many that there is room for. */
    int rows(int most) {
        return Math.min(most, (int) chunk);
    }

    /** Hears how long a step took in which sequences went on and so many rows of prompts were read. */
    void measured(int rows, long nanos) {
        double factor = (double) goal / Math.max(1, nanos);
        if (factor < 1) {
            chunk = Math.min(chunk, Math.max(LEAST, rows * Math.max(MOST_SHRINKING, factor)));
        } else if (rows >= (int) chunk) {
            chunk = rows * Math.min(MOST_GROWTH, factor);
        }
    }
}
