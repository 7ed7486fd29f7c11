package dev.polyphon.runtime;

import java.util.concurrent.CancellationException;

/** Hears how far an operation has come, between parts of its work. */
@FunctionalInterface
public interface OperationProgress {
    OperationProgress NONE = (done, total) -> {};

    /**
     * @throws CancellationException to end the operation, which then leaves nothing behind
     */
    void at(int done, int total);
}
