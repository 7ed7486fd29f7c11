package dev.polyphon.engine.merge;

import dev.polyphon.engine.weights.DType;

/** In what merged weights are kept. */
public enum Precision {
    /** What loses nothing that matters of the base's: see {@link Encoding#keeping}. */
    KEEP,
    F32,
    F16,
    BF16,
    /** Matrices whose rows are no whole blocks of it are kept in F16. */
    Q8_0;

    /** The type for a matrix of a base. @param width of its rows */
    DType type(DType base, int width) {
        return Encoding.fitting(this == KEEP ? Encoding.keeping(base) : DType.valueOf(name()), width);
    }
}
