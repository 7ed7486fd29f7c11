package dev.polyphon.engine;

import dev.polyphon.engine.schedule.ActiveGeneration;
import dev.polyphon.engine.schedule.StepLoop;
import dev.polyphon.runtime.Generation;
import java.util.concurrent.Future;

/** The caller's handle: a cancel that comes before the request has reached the step loop follows it there. Thread-safe. */
final class PendingGeneration implements Generation {
    private final StepLoop loop;
    private ActiveGeneration generation;
    private Future<?> awaited;
    private boolean cancelled;

    PendingGeneration(StepLoop loop) {
        this.loop = loop;
    }

    /** What the request waits for on its way to the step loop: a cancel ends that. */
    synchronized void waitFor(Future<?> future) {
        awaited = future;
        if (cancelled) {
            future.cancel(false);
        }
    }

    /** The request has left the step loop, to come back: a cancel waits for that, or ends what is waited for on the way. */
    synchronized void withdraw() {
        generation = null;
    }

    synchronized void submit(ActiveGeneration submitted) {
        generation = submitted;
        loop.submit(submitted);
        if (cancelled) {
            loop.cancel(submitted);
        }
    }

    @Override
    public synchronized void cancel() {
        if (!cancelled) {
            cancelled = true;
            if (generation != null) {
                loop.cancel(generation);
            } else if (awaited != null) {
                awaited.cancel(false);
            }
        }
    }
}
