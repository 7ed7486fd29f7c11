package dev.polyphon.engine.backend;

/** An f32 matrix of the kernels that made it. */
public interface Tensor extends AutoCloseable {
    int rows();

    int columns();

    @Override
    void close();
}
