package dev.polyphon.engine;

import dev.polyphon.engine.backend.Kernels;
import dev.polyphon.engine.backend.KvCache;
import dev.polyphon.engine.backend.MemoryBudget;
import dev.polyphon.engine.backend.Owned;
import dev.polyphon.engine.model.ArchitectureSpec;
import dev.polyphon.engine.schedule.BlockMemory;
import dev.polyphon.engine.weights.DType;
import java.util.concurrent.Executor;

/**
 * An engine's KV cache.
 *
 * @param memory where blocks have theirs from; null where they all have it from the beginning, and none is shared
 * @param sure blocks that there always is memory for, so that no sequence may need more
 */
record Kv(KvCache cache, BlockMemory memory, int sure) {

    /**
     * @param type of keys and values
     * @param shared bytes that it may take beyond those it is sure of
     * @param executor frees memory
     */
    static Kv of(EngineOptions options, ArchitectureSpec spec, Kernels kernels, DType type, long shared, Owned owned, MemoryBudget budget, Executor executor) {
        int sure = sure(options, spec, type);
        int most = kernels.kvElastic() ? blocks((options.kvBytes() + shared) / blockBytes(options, spec, type), useful(options, spec)) : sure;
        KvCache cache = owned.own(kernels.kvCache(spec.layers().size(), spec.kvHeads(), spec.headDim(), most, options.blockSize(), type));
        MemoryBudget.Account account = budget.account(sure * cache.blockBytes());
        if (kernels.kvElastic()) {
            boolean device = kernels.freeBytes() < Long.MAX_VALUE;
            return new Kv(cache, new BlockMemory(cache, account, executor, device ? sure : 0), sure);
        }
        account.take(account.own());
        return new Kv(cache, null, sure);
    }

    /** Blocks that there always is memory for. */
    static int sure(EngineOptions options, ArchitectureSpec spec, DType type) {
        return blocks(options.kvBytes() / blockBytes(options, spec, type), useful(options, spec));
    }

    static long blockBytes(EngineOptions options, ArchitectureSpec spec, DType type) {
        return 2L * spec.layers().size() * type.bytes(spec.kvWidth() * options.blockSize());
    }

    private static long useful(EngineOptions options, ArchitectureSpec spec) {
        return (long) options.maxSequences() * ((spec.context() + options.blockSize() - 1) / options.blockSize());
    }

    private static int blocks(long blocks, long useful) {
        return Math.toIntExact(Math.max(1, Math.min(blocks, useful)));
    }
}
