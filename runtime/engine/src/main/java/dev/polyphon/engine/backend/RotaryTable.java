package dev.polyphon.engine.backend;

/** Precomputed rotations. */
public interface RotaryTable extends AutoCloseable {
    /** Pairs of columns rotated in each head. */
    int pairs();

    @Override
    void close();
}
