package dev.polyphon.engine.schedule;

/** Hands out the KV cache's blocks, counting who holds each. Used by the step loop's thread alone. */
final class BlockPool {
    private final int[] holders;
    private final int[] free;
    private int freeCount;

    BlockPool(int blocks) {
        holders = new int[blocks];
        free = new int[blocks];
        freeCount = blocks;
        for (int i = 0; i < blocks; i++) {
            free[i] = blocks - 1 - i;
        }
    }

    int size() {
        return holders.length;
    }

    int free() {
        return freeCount;
    }

    int used() {
        return holders.length - freeCount;
    }

    /** A block held once, or -1 when there is none. */
    int take() {
        if (freeCount == 0) {
            return -1;
        }
        int block = free[--freeCount];
        holders[block] = 1;
        return block;
    }

    /** Adds a holder. */
    void share(int block) {
        check(block);
        holders[block]++;
    }

    /** Removes a holder; the last one frees the block. */
    void release(int block) {
        check(block);
        if (--holders[block] == 0) {
            free[freeCount++] = block;
        }
    }

    private void check(int block) {
        if (holders[block] == 0) {
            throw new IllegalStateException("block " + block + " is not held");
        }
    }
}
