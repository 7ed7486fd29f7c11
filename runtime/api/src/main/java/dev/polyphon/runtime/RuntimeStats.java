package dev.polyphon.runtime;

import java.util.Map;

/**
 * A moment's state.
 *
 * @param running sequences in the batch
 * @param waiting sequences in the queue
 * @param waitingByTenant of them by tenant; tenants of whom nothing waits are left out
 * @param kvBlocks blocks of the KV cache
 * @param kvBlocksUsed of them in use by sequences in the batch
 * @param prefix the prefix cache
 * @param adaptersLoaded adapters whose weights are in memory
 * @param adapterBytes what those weigh
 * @param tiers what adapters pass through on their way there
 */
public record RuntimeStats(
        int running,
        int waiting,
        Map<String, Integer> waitingByTenant,
        int kvBlocks,
        int kvBlocksUsed,
        PrefixCache prefix,
        int adaptersLoaded,
        long adapterBytes,
        AdapterTiers tiers) {

    /** Of a runtime whose adapters are managed elsewhere. */
    public RuntimeStats(int running, int waiting, Map<String, Integer> waitingByTenant, int kvBlocks, int kvBlocksUsed, PrefixCache prefix,
            int adaptersLoaded, long adapterBytes) {
        this(running, waiting, waitingByTenant, kvBlocks, kvBlocksUsed, prefix, adaptersLoaded, adapterBytes, AdapterTiers.NONE);
    }

    /**
     * Computed prefixes that later requests may use.
     *
     * @param queried tokens of prompts that were looked up, since the start
     * @param hit of them found
     * @param blocks blocks of the KV cache that no sequence uses and that are kept for later ones; they are free when blocks are wanted
     */
    public record PrefixCache(long queried, long hit, int blocks) {
        public static final PrefixCache NONE = new PrefixCache(0, 0, 0);
    }
}
