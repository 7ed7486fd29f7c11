package dev.polyphon.engine.adapter.ops;

import java.util.concurrent.CancellationException;

/** Hears how far an operation has come, between parts of its work. */
@FunctionalInterface
public interface Progress {
    Progress NONE = (done, total) -> {};

    /**
     * @throws CancellationException to end the operation, which then leaves nothing behind
     */
    void at(int done, int total);

    /** Tells, and ends the operation when its thread was interrupted. */
    default void advance(int done, int total) {
        if (Thread.currentThread().isInterrupted()) {
            throw new CancellationException("the operation was cancelled");
        }
        at(done, total);
    }
}
