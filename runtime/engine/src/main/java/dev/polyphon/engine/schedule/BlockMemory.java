package dev.polyphon.engine.schedule;

import dev.polyphon.engine.backend.DeviceMemoryException;
import dev.polyphon.engine.backend.KvCache;
import dev.polyphon.engine.backend.MemoryBudget.Account;
import dev.polyphon.engine.backend.MemoryBudget.Listener;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Executor;

/** The memory of a KV cache's blocks, out of a budget that others share. Used by the step loop's thread alone; memory is freed on the executor. */
public final class BlockMemory {
    private final KvCache cache;
    private final Account account;
    private final Executor executor;
    private final long bytes;
    private final int first;

    /** Takes memory as blocks are wanted. */
    public BlockMemory(KvCache cache, Account account, Executor executor) {
        this(cache, account, executor, 0);
    }

    /** @param first blocks that have their memory from the beginning, so that nothing else can stand where it is */
    public BlockMemory(KvCache cache, Account account, Executor executor, int first) {
        this.first = first;
        this.cache = cache;
        this.account = account;
        this.executor = executor;
        bytes = cache.blockBytes();
    }

    /** @param wake hears, on any thread, when others want memory that is to be given back */
    void onPressed(Runnable wake) {
        account.listen(new Listener() {
            @Override
            public void pressed() {
                wake.run();
            }

            @Override
            public void room() {
                // Each step tries anew.
            }
        });
    }

    /** Takes as much of the budget as so many blocks need, all or nothing. */
    boolean take(int blocks) {
        return account.take(blocks * bytes);
    }

    /** Blocks that have their memory from the beginning. */
    int first() {
        return first;
    }

    /** Gives a block that the budget was taken for its memory; false when there is no place for it all the same, as between what others left standing. */
    boolean open(int block) {
        try {
            cache.open(block);
            return true;
        } catch (DeviceMemoryException full) {
            return false;
        }
    }

    /** Gives back the budget of blocks that got no memory. */
    void refund(int blocks) {
        account.give(blocks * bytes);
    }

    /** Gives back memory and budget of blocks. */
    void give(int[] blocks) {
        List<Runnable> frees = new ArrayList<>();
        for (int block : blocks) {
            Runnable free = cache.close(block);
            if (free != null) {
                frees.add(free);
            }
        }
        long back = blocks.length * bytes;
        account.leaves(back);
        executor.execute(() -> {
            frees.forEach(Runnable::run);
            account.left(back);
        });
    }

    /** How many blocks others want. */
    int asked() {
        return Math.toIntExact((Math.max(0, account.asked()) + bytes - 1) / bytes);
    }

    /**
     * @param idle blocks that could be given back
     * @param waits blocks wanted and not to be had
     */
    void stands(int idle, int waits) {
        account.stands(idle * bytes, waits * bytes);
    }

    /** Blocks that there could be now. */
    int reach() {
        return (int) Math.min(Integer.MAX_VALUE, account.reach() / bytes);
    }
}
