package dev.polyphon.engine.schedule;

import java.util.Comparator;
import java.util.TreeSet;

/** One of those among whom the machine is shared out: what it has had, and what it waits for. */
final class Client {
    private static final Comparator<Sequence> BY_TURN =
            Comparator.comparingLong((Sequence s) -> s.standing().turn()).thenComparingLong(Sequence::arrival);

    final TreeSet<Sequence> waiting = new TreeSet<>(BY_TURN);
    int running;
    double share = 1;
    private double served;

    /** The priced tokens it has had over its share: its virtual counter. */
    double served() {
        return served;
    }

    void charge(double price) {
        served += price / share;
    }

    void liftTo(double level) {
        served = Math.max(served, level);
    }

    boolean idle() {
        return running == 0 && waiting.isEmpty();
    }
}
