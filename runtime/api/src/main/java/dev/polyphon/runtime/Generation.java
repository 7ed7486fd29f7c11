package dev.polyphon.runtime;

/** A generation under way. */
public interface Generation {
    /**
     * Ends the generation: its sequences leave the batch before the next step. The sink hears {@link FinishReason#CANCELLED} for every choice
     * that had not finished. Calling it again, or after the end, does nothing.
     */
    void cancel();
}
