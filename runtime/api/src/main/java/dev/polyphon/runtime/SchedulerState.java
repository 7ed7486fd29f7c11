package dev.polyphon.runtime;

import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * What a scheduler holds at a moment, between two steps.
 *
 * @param running sequences in the batch
 * @param waiting sequences in the queue
 * @param kvBlocks blocks of the KV cache that there are, or could be now
 * @param kvBlocksUsed of them in use by sequences in the batch
 * @param kvBlocksCached of them used by none, and kept for prefixes that may be asked for again
 * @param counters among whom the machine is shared out: those that wait, then those that run, then the others, each by what they have had. The first that
 *     waits is the next
 */
public record SchedulerState(int running, int waiting, int kvBlocks, int kvBlocksUsed, int kvBlocksCached, List<Counter> counters) {
    private static final Comparator<Counter> ORDER =
            Comparator.comparingInt(Counter::idleness).thenComparingDouble(Counter::served).thenComparing(Counter::tenant).thenComparing(counter -> String.join("\n", counter.adapters()));

    public SchedulerState {
        counters = counters.stream().sorted(ORDER).toList();
    }

    /**
     * One of them. Whoever has had nothing to ask for a while is forgotten, and starts from the least of those who wait.
     *
     * @param tenant empty where service is shared out among nobody
     * @param adapters what of the tenant's has a counter of its own; empty for all that it asks for, or the base alone
     * @param share its weight
     * @param served its virtual counter: tokens that it has had, by their price, over its share
     * @param running its sequences in the batch
     * @param waiting its sequences in the queue
     */
    public record Counter(String tenant, List<String> adapters, double share, double served, int running, int waiting) {
        public Counter {
            adapters = List.copyOf(adapters);
        }

        private int idleness() {
            return waiting > 0 ? 0 : running > 0 ? 1 : 2;
        }

        private Counter plus(Counter other) {
            return new Counter(tenant, adapters, share, served + other.served, running + other.running, waiting + other.waiting);
        }
    }

    /** What several schedulers hold, as if they were one: whoever is served by several has had the sum. */
    public static SchedulerState sum(List<SchedulerState> all) {
        record Key(String tenant, List<String> adapters) {}
        Map<Key, Counter> counters = new LinkedHashMap<>();
        all.forEach(one -> one.counters.forEach(counter -> counters.merge(new Key(counter.tenant, counter.adapters), counter, Counter::plus)));
        return new SchedulerState(all.stream().mapToInt(SchedulerState::running).sum(), all.stream().mapToInt(SchedulerState::waiting).sum(),
                all.stream().mapToInt(SchedulerState::kvBlocks).sum(), all.stream().mapToInt(SchedulerState::kvBlocksUsed).sum(),
                all.stream().mapToInt(SchedulerState::kvBlocksCached).sum(), List.copyOf(counters.values()));
    }
}
