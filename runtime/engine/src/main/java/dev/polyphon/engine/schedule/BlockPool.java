package dev.polyphon.engine.schedule;

import java.util.function.IntConsumer;

/**
 * Hands out the KV cache's blocks, counting who holds each. A block that is kept for its content stays as it is when nobody holds it any more, until it is
 * wanted for something else: the least recently used first. Used by the step loop's thread alone.
 */
final class BlockPool {
    private final int[] holders;
    private final int[] free;
    private int freeCount;
    private final boolean[] kept;
    /** A ring of the kept blocks that nobody holds, from the least to the most recently used; its head stands past the last block. */
    private final int[] next;
    private final int[] previous;
    private final int head;
    private int idleCount;
    private IntConsumer onReuse = block -> {};

    BlockPool(int blocks) {
        holders = new int[blocks];
        free = new int[blocks];
        freeCount = blocks;
        for (int i = 0; i < blocks; i++) {
            free[i] = blocks - 1 - i;
        }
        kept = new boolean[blocks];
        next = new int[blocks + 1];
        previous = new int[blocks + 1];
        head = blocks;
        next[head] = head;
        previous[head] = head;
    }

    /** @param listener hears of each kept block whose content is given up */
    void onReuse(IntConsumer listener) {
        onReuse = listener;
    }

    int size() {
        return holders.length;
    }

    /** Blocks that can be taken: those without content, and those that nobody holds. */
    int free() {
        return freeCount + idleCount;
    }

    /** Blocks that somebody holds. */
    int used() {
        return holders.length - free();
    }

    /** Blocks that nobody holds, kept for their content. */
    int idle() {
        return idleCount;
    }

    boolean held(int block) {
        return holders[block] > 0;
    }

    /** A block held once, or -1 when there is none. */
    int take() {
        if (free() == 0) {
            return -1;
        }
        int block;
        if (freeCount > 0) {
            block = free[--freeCount];
        } else {
            block = next[head];
            unlink(block);
            kept[block] = false;
            onReuse.accept(block);
        }
        holders[block] = 1;
        return block;
    }

    /** Adds a holder to a block that is held or kept. */
    void share(int block) {
        if (holders[block] == 0 && kept[block]) {
            unlink(block);
        } else {
            check(block);
        }
        holders[block]++;
    }

    /** Removes a holder; the last one frees the block. */
    void release(int block) {
        check(block);
        if (--holders[block] == 0) {
            if (kept[block]) {
                link(block);
            } else {
                free[freeCount++] = block;
            }
        }
    }

    /** From now on a held block is kept for its content. */
    void keep(int block) {
        check(block);
        kept[block] = true;
    }

    /** A block's content is worth nothing any more. */
    void drop(int block) {
        if (kept[block]) {
            kept[block] = false;
            if (holders[block] == 0) {
                unlink(block);
                free[freeCount++] = block;
            }
        }
    }

    private void link(int block) {
        int last = previous[head];
        next[last] = block;
        previous[block] = last;
        next[block] = head;
        previous[head] = block;
        idleCount++;
    }

    private void unlink(int block) {
        next[previous[block]] = next[block];
        previous[next[block]] = previous[block];
        idleCount--;
    }

    private void check(int block) {
        if (holders[block] == 0) {
            throw new IllegalStateException("block " + block + " is not held");
        }
    }
}
