package dev.polyphon.engine.pool;

import dev.polyphon.engine.adapter.LoadedAdapter;
import java.util.List;

/** An adapter where the model computes. Guarded by the pool. */
final class Resident {
    final LoadedAdapter adapter;
    final Variant variant;
    /** Of the sources it was read from. */
    List<Object> stamps;
    boolean checking;
    long checkedAt = System.nanoTime();
    int users;
    /** Holds of requests that wait to begin. */
    int promised;
    /** Out of service: it goes as soon as nobody uses it. */
    boolean retired;
    private int uses;
    private double priority;
    /** No other's, also before it has rested: it is found by it among those that may give way. */
    private long turn = -1;

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

    void appraise(Eviction eviction, double inflation, long newTurn) {
        priority = eviction.worth(uses, bytes(), inflation);
        turn = newTurn;
    }

    double priority() {
        return priority;
    }

    long turn() {
        return turn;
    }
}
