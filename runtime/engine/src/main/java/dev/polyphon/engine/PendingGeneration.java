package dev.polyphon.engine;

import dev.polyphon.engine.schedule.ActiveGeneration;
import dev.polyphon.engine.schedule.StepLoop;
import dev.polyphon.runtime.Generation;

/** The caller's handle: a cancel that comes before the request has reached the step loop follows it there. */
final class PendingGeneration implements Generation {
    private final StepLoop loop;
    private ActiveGeneration generation;
    private boolean cancelled;

    PendingGeneration(StepLoop loop) {
        this.loop = loop;
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
            }
        }
    }
}
