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
}
