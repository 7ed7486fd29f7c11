package dev.polyphon.engine.backend;

/** The pointwise functions of MLPs. */
public enum Activation {
    SILU,
    /** x·Φ(x), by the error function. */
    GELU,
    /** GELU's tanh approximation. */
    GELU_TANH,
    RELU,
    /** x·σ(1.702 x). */
    QUICK_GELU,
    TANH
}
