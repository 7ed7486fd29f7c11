package dev.polyphon.runtime;

/** How the final hidden states of a prompt become one vector. */
public enum Pooling {
    /** The mean over all tokens of the prompt. */
    MEAN,
    /** That of the last token, which alone has seen all others. */
    LAST
}
