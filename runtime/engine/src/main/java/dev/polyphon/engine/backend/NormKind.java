package dev.polyphon.engine.backend;

/** RMS norm (Zhang and Sennrich 2019) or layer norm (Ba et al. 2016). */
public enum NormKind {
    RMS,
    LAYER
}
