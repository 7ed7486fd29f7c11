package dev.polyphon.engine.pool;

import dev.polyphon.engine.adapter.LoadedAdapter;
import java.util.List;

/** An adapter where the model computes. Guarded by the pool. */
final class Resident {
    /** A load takes time for each byte and as much as for so many by itself. */
    private static final double FIXED_COST_BYTES = 1 << 20;

    final LoadedAdapter adapter;
    final Variant variant;
    /** Of the sources it was read from. */
    List<Object> stamps;
    boolean checking;
    long checkedAt = System.nanoTime();
    int users;
    /** Out of service: it goes as soon as nobody uses it. */
    boolean retired;
    private int uses;
    private double priority;
    private long turn;

    Resident(LoadedAdapter adapter, Variant variant, List<Object> stamps) {
        this.adapter = adapter;
        this.variant = variant;
        this.stamps = stamps;
    }

    long bytes() {
        return adapter.bytes();
    }

    void used() {
        uses++;
    }

    /**
     * What is gained for a byte by keeping it (GreedyDual-Size-Frequency, Cherkasova 1998): uses times the cost of a load by its size, on top of what
     * the last that gave way was worth, so that what was popular once ages.
     */
    void appraise(double inflation, long newTurn) {
        priority = inflation + uses * (bytes() + FIXED_COST_BYTES) / Math.max(1, bytes());
        turn = newTurn;
    }

    double priority() {
        return priority;
    }

    long turn() {
        return turn;
    }
}
