package dev.polyphon.engine.schedule.merge;

import dev.polyphon.engine.merge.Pace;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;
import java.util.function.LongConsumer;

/**
 * Lets work go on for a part of the time only while steps are computed, and without pause while there are none. Used by the thread that works.
 */
final class StepPace implements Pace {
    /** How soon a pause ends after the last step. */
    private static final long LOOK_NANOS = 2_000_000;

    private final double load;
    private final BooleanSupplier busy;
    private final BooleanSupplier givenUp;
    private final LongConsumer progress;
    private long began = System.nanoTime();
    private long worked;
    private long done;

    /**
     * @param load part of the time, above 0 and up to 1
     * @param busy whether steps are computed
     * @param givenUp whether the work is to end
     * @param progress hears how many elements are done
     */
    StepPace(double load, BooleanSupplier busy, BooleanSupplier givenUp, LongConsumer progress) {
        this.load = load;
        this.busy = busy;
        this.givenUp = givenUp;
        this.progress = progress;
    }

    /** Time spent working, pauses not counted. */
    long worked() {
        return worked;
    }

    @Override
    public void rest(int elements) throws InterruptedException {
        long now = System.nanoTime();
        long slice = now - began;
        worked += slice;
        done += elements;
        progress.accept(done);
        long end = now + (long) (slice * (1 / load - 1));
        while (!Thread.currentThread().isInterrupted() && !givenUp.getAsBoolean() && busy.getAsBoolean() && System.nanoTime() < end) {
            LockSupport.parkNanos(this, Math.min(LOOK_NANOS, end - System.nanoTime()));
        }
        if (Thread.interrupted() || givenUp.getAsBoolean()) {
            throw new InterruptedException();
        }
        began = System.nanoTime();
    }
}
