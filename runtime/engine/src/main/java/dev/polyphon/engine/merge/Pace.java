package dev.polyphon.engine.merge;

/** Keeps work beside the step loop from holding it up: called between slices of well below a millisecond, it may wait. */
@FunctionalInterface
public interface Pace {
    /** Goes on at once, always. */
    Pace NONE = _ -> {
        if (Thread.interrupted()) {
            throw new InterruptedException();
        }
    };

    /**
     * @param done elements of the copy that were written since the last call
     * @throws InterruptedException when the work is to be given up
     */
    void rest(int done) throws InterruptedException;
}
