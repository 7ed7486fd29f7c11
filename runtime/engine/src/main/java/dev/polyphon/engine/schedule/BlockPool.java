package dev.polyphon.engine.schedule;

import java.util.function.IntConsumer;

/**
 * Hands out the KV cache's blocks, counting who holds each. A block that is kept for its content stays as it is when nobody holds it any more, until it is
 * wanted for something else: the least recently used first. There are as many as the budget has memory for; new ones go before those kept for their content.
 * Used by the step loop's thread alone.
 */
final class BlockPool {
    private final int[] holders;
    private final int[] free;
    private int freeCount;
    private final BlockMemory memory;
    /** Those that no memory was taken for; all when there is a budget to take it from. */
    private final int[] absent;
    private int absentCount;
    /** How many were wanted and not to be had since this was last settled. */
    private int wanting;
    private final boolean[] kept;
    /** A ring of the kept blocks that nobody holds, from the least to the most recently used; its head stands past the last block. */
    private final int[] next;
    private final int[] previous;
    private final int head;
    private int idleCount;
    private IntConsumer onReuse = block -> {};

    /** Blocks that have their memory. */
    BlockPool(int blocks) {
        this(blocks, null);
        System.arraycopy(absent, 0, free, 0, blocks);
        freeCount = blocks;
        absentCount = 0;
    }

    /** @param memory where blocks have it from; so many of them that it can always be had are enough for any one sequence */
    BlockPool(int blocks, BlockMemory memory) {
        this.memory = memory;
        holders = new int[blocks];
        free = new int[blocks];
        absent = new int[blocks];
        absentCount = blocks;
        for (int i = 0; i < blocks; i++) {
            absent[i] = blocks - 1 - i;
        }
        kept = new boolean[blocks];
        next = new int[blocks + 1];
        previous = new int[blocks + 1];
        head = blocks;
        next[head] = head;
        previous[head] = head;
        if (memory != null && memory.first() > 0 && !add(memory.first())) {
            throw new IllegalStateException("no memory for the first " + memory.first() + " blocks of keys and values");
        }
    }

    /** @param listener hears of each kept block whose content is given up */
    void onReuse(IntConsumer listener) {
        onReuse = listener;
    }

    /** The most there can ever be. */
    int size() {
        return holders.length;
    }

    /** How many there are, or could be now. */
    int reach() {
        return memory == null ? size() : Math.min(size(), Math.max(memory.reach(), size() - absentCount));
    }

    /** Blocks that have memory and can be taken: those without content, and those that nobody holds. */
    private int free() {
        return freeCount + idleCount;
    }

    /** Blocks that somebody holds. */
    int used() {
        return holders.length - free() - absentCount;
    }

    /** Whether so many can be taken; there is memory for them from now on. */
    boolean available(int blocks) {
        int missing = blocks - free();
        if (missing <= 0 || add(missing)) {
            return true;
        }
        wanting = Math.max(wanting, missing);
        return false;
    }

    private boolean add(int blocks) {
        if (blocks > absentCount || !memory.take(blocks)) {
            return false;
        }
        for (int i = 0; i < blocks; i++) {
            if (!memory.open(absent[absentCount - 1])) {
                memory.refund(blocks - i);
                return false;
            }
            free[freeCount++] = absent[--absentCount];
        }
        return true;
    }

    /** Gives back what others want of the memory of blocks that nobody holds. */
    void giveBack() {
        int count = memory == null ? 0 : Math.min(memory.asked(), free());
        if (count > 0) {
            int[] given = new int[count];
            for (int i = 0; i < count; i++) {
                given[i] = pick();
                absent[absentCount++] = given[i];
            }
            memory.give(given);
        }
    }

    /** Tells the others how this stands: what was wanted and not to be had since the last time is waited for. */
    void settle() {
        if (memory != null) {
            memory.stands(free(), wanting);
            wanting = 0;
        }
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
        if (freeCount == 0 && !add(1) && idleCount == 0) {
            wanting = Math.max(wanting, 1);
            return -1;
        }
        int block = pick();
        holders[block] = 1;
        return block;
    }

    /** One that nobody holds, its content forgotten. */
    private int pick() {
        if (freeCount > 0) {
            return free[--freeCount];
        }
        int block = next[head];
        unlink(block);
        kept[block] = false;
        onReuse.accept(block);
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
