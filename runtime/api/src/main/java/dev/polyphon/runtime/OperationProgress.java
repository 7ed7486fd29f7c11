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

    /**
     * That of one of the parts that an operation has one after the other, of which nobody knows beforehand how long each takes: it tells in hundredths.
     *
     * @param part 0 for the first
     * @param parts how many there are
     */
    default OperationProgress part(int part, int parts) {
        return (done, total) -> at(100 * part + (int) (100L * done / Math.max(total, 1)), 100 * parts);
    }
}
