package dev.polyphon.engine.replica;

import dev.polyphon.runtime.AdapterTiers;
import dev.polyphon.runtime.AdapterTiers.Tier;
import dev.polyphon.runtime.RuntimeStats;
import dev.polyphon.runtime.RuntimeStats.PrefixCache;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;

/** What several runtimes are doing, as if it were one. */
final class SummedStats {
    private SummedStats() {}

    static RuntimeStats of(List<RuntimeStats> all) {
        Map<String, Integer> waiting = new HashMap<>();
        all.forEach(one -> one.waitingByTenant().forEach((tenant, count) -> waiting.merge(tenant, count, Integer::sum)));
        PrefixCache prefix = new PrefixCache(all.stream().mapToLong(one -> one.prefix().queried()).sum(), all.stream().mapToLong(one -> one.prefix().hit()).sum(),
                all.stream().mapToInt(one -> one.prefix().blocks()).sum());
        AdapterTiers tiers = new AdapterTiers(tier(all, AdapterTiers::disk), tier(all, AdapterTiers::host), tier(all, AdapterTiers::device),
                all.stream().mapToInt(one -> one.tiers().waiting()).sum());
        return new RuntimeStats(all.stream().mapToInt(RuntimeStats::running).sum(), all.stream().mapToInt(RuntimeStats::waiting).sum(), Map.copyOf(waiting),
                all.stream().mapToInt(RuntimeStats::kvBlocks).sum(), all.stream().mapToInt(RuntimeStats::kvBlocksUsed).sum(), prefix,
                all.stream().mapToInt(RuntimeStats::adaptersLoaded).sum(), all.stream().mapToLong(RuntimeStats::adapterBytes).sum(), tiers);
    }

    private static Tier tier(List<RuntimeStats> all, Function<AdapterTiers, Tier> which) {
        return all.stream().map(RuntimeStats::tiers).map(which).reduce(Tier.NONE, (a, b) -> new Tier(a.adapters() + b.adapters(), a.bytes() + b.bytes(),
                a.limit() + b.limit(), a.hits() + b.hits(), a.misses() + b.misses(), a.evictions() + b.evictions()));
    }
}
