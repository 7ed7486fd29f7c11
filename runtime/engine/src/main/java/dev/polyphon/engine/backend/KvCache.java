package dev.polyphon.engine.backend;

/** Paged keys and values of all sequences: every layer has the same blocks, a block holds {@code blockSize} positions. */
public interface KvCache extends AutoCloseable {
    int blocks();

    int blockSize();

    long bytes();

    @Override
    void close();
}
