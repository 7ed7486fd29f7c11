package dev.polyphon.engine.backend;

/** A frozen matrix [out, in] of the kernels that made it, in whatever storage they compute on. */
public interface Weight extends AutoCloseable {
    int out();

    int in();

    /** Bytes held beyond the file's mapping. */
    long bytes();

    @Override
    void close();
}
