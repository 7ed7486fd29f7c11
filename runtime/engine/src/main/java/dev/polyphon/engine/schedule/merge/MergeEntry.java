package dev.polyphon.engine.schedule.merge;

import dev.polyphon.runtime.MergeInfo;
import dev.polyphon.runtime.MergeInfo.Cause;
import dev.polyphon.runtime.MergeInfo.State;
import java.time.Duration;
import java.time.Instant;

/** Something that is merged or to be. Guarded by the table that it stands in, but for what is volatile. */
final class MergeEntry {
    final long id;
    final MergeTarget target;
    Cause cause;
    State state = State.QUEUED;
    Instant since = Instant.now();
    /** The same as {@link System#nanoTime}, for what is to happen after a while. */
    private long entered = System.nanoTime();
    /** Elements of the copy. */
    long elements;
    long bytes;
    double saving = Double.NaN;
    String reason;
    MergedCopy copy;
    /** Elements written so far. */
    volatile long done;
    /** Whether work on it is to end. */
    volatile boolean givenUp;

    MergeEntry(long id, MergeTarget target, Cause cause) {
        this.id = id;
        this.target = target;
        this.cause = cause;
    }

    void enter(State next) {
        state = next;
        since = Instant.now();
        entered = System.nanoTime();
    }

    /** How long it has been in its state. */
    Duration age() {
        return Duration.ofNanos(System.nanoTime() - entered);
    }

    /** Whether it is on its way to be merged. */
    boolean pending() {
        return !givenUp && (state == State.QUEUED || state == State.MEASURING || state == State.MERGING);
    }

    MergeInfo info() {
        double progress = copy != null ? 1 : elements == 0 ? 0 : Math.min(1, (double) done / elements);
        return new MergeInfo(id, target.owner(), target.adapters(), state, cause, progress, bytes, copy == null ? 0 : copy.users, since, saving, reason);
    }
}
