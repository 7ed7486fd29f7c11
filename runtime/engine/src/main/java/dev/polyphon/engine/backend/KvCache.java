package dev.polyphon.engine.backend;

/** Paged keys and values of all sequences: every layer has the same blocks, a block holds {@code blockSize} positions. Used by one thread at a time. */
public interface KvCache extends AutoCloseable {
    int blocks();

    int blockSize();

    /** Bytes that a block takes. */
    long blockBytes();

    /**
     * Gives a block memory, whatever is in it: positions are written before they are read. One that has some keeps it as it is. Where
     * {@link Kernels#kvElastic} says no, all have theirs.
     *
     * @throws DeviceMemoryException when there is none; nothing is changed
     */
    default void open(int block) {}

    /** Takes a block's memory away: it is freed when what is returned runs, on any thread. Null when there is nothing to free. */
    default Runnable close(int block) {
        return null;
    }

    /** Gives all blocks memory. */
    default KvCache openAll() {
        for (int i = 0; i < blocks(); i++) {
            open(i);
        }
        return this;
    }

    @Override
    void close();
}
