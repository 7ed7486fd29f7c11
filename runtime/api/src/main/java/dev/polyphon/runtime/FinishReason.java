package dev.polyphon.runtime;

/** Why a choice ended. */
public enum FinishReason {
    /** An end-of-sequence token, a stop token or a stop string. */
    STOP,
    /** The token limit of the request or the context's end. */
    LENGTH,
    /** {@link Generation#cancel()}, or a client that went away. */
    CANCELLED
}
