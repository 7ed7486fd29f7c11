package dev.polyphon.server.observe;

import dev.polyphon.runtime.AdapterTiers;
import dev.polyphon.runtime.AdapterTiers.Tier;
import dev.polyphon.runtime.MergeInfo.State;
import dev.polyphon.runtime.MergeStatus;
import dev.polyphon.runtime.Runtime;
import dev.polyphon.runtime.RuntimeObserver;
import dev.polyphon.runtime.RuntimeStats;
import io.prometheus.metrics.core.datapoints.CounterDataPoint;
import io.prometheus.metrics.core.metrics.Counter;
import io.prometheus.metrics.core.metrics.CounterWithCallback;
import io.prometheus.metrics.core.metrics.GaugeWithCallback;
import io.prometheus.metrics.core.metrics.Histogram;
import io.prometheus.metrics.model.registry.PrometheusRegistry;
import io.prometheus.metrics.model.snapshots.Unit;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.function.ToDoubleFunction;

/** The runtime's steps, queue, cache and adapter loads. Heard on the runtime's threads: nothing here locks or waits. */
final class RuntimeMetrics implements RuntimeObserver {
    private final Histogram step;
    private final Histogram sequences;
    private final Histogram distinctAdapters;
    private final Counter stepFailures;
    private final Counter sequenceFailures;
    private final CounterDataPoint decodeRows;
    private final CounterDataPoint prefillRows;
    private final TopLabels tenants;
    private final Histogram queue;
    private final Counter preemptions;
    private final Counter expirations;
    private final Histogram loadTime;
    private final Counter loads;
    private final Counter damaged;

    RuntimeMetrics(PrometheusRegistry registry, Runtime runtime, TopLabels tenants) {
        this.tenants = tenants;
        step = seconds(registry, "polyphon_step_duration_seconds", "Time of a step: one forward pass of the whole batch.");
        sequences = counts(registry, "polyphon_step_sequences", "Sequences in a step.");
        distinctAdapters = counts(registry, "polyphon_step_adapters", "Distinct adapters in a step, the bare base not counted.");
        stepFailures = Counter.builder()
                .name("polyphon_step_failures_total")
                .help("Steps that could not be computed at once, and were tried in parts.")
                .register(registry);
        sequenceFailures = ofTenant(registry, "polyphon_sequence_failures_total", "Sequences that failed since they could not be computed.");
        Counter rows = Counter.builder()
                .name("polyphon_step_rows_total")
                .help("Rows computed, by whether they continue a sequence (decode) or read a prompt (prefill).")
                .labelNames("kind")
                .register(registry);
        decodeRows = rows.labelValues("decode");
        prefillRows = rows.labelValues("prefill");
        queue = tenants.bind(Histogram.builder()
                .name("polyphon_queue_duration_seconds")
                .help("Time a request waited for its place in the batch.")
                .unit(Unit.SECONDS)
                .classicUpperBounds(Buckets.SECONDS)
                .labelNames("tenant")
                .register(registry), 0);
        preemptions = ofTenant(registry, "polyphon_preemptions_total", "Sequences put back into the queue for want of KV blocks.");
        expirations = ofTenant(registry, "polyphon_queue_timeouts_total", "Requests that waited in the queue for as long as they may, and failed.");
        loadTime = seconds(registry, "polyphon_adapter_load_duration_seconds", "Time to load an adapter.");
        loads = Counter.builder()
                .name("polyphon_adapter_loads_total")
                .help("Adapter loads by outcome: ok or failed.")
                .labelNames("outcome")
                .register(registry);
        loads.initLabelValues("ok");
        loads.initLabelValues("failed");
        damaged = Counter.builder()
                .name("polyphon_adapter_damaged_total")
                .help("Times that an adapter's files on the disk turned out to be damaged when they were read back.")
                .register(registry);
        gauge(registry, runtime, "polyphon_sequences_running", "Sequences in the batch.", RuntimeStats::running);
        gauge(registry, runtime, "polyphon_sequences_waiting", "Sequences in the queue.", RuntimeStats::waiting);
        GaugeWithCallback.builder()
                .name("polyphon_tenant_sequences_waiting")
                .help("Sequences of a tenant in the queue, their adapters loaded.")
                .labelNames("tenant")
                .callback(gauge -> {
                    Map<String, Integer> waiting = new HashMap<>();
                    runtime.stats().waitingByTenant().forEach((tenant, count) -> waiting.merge(tenants.of(tenant), count, Integer::sum));
                    waiting.forEach((tenant, count) -> gauge.call(count, tenant));
                })
                .register(registry);
        gauge(registry, runtime, "polyphon_kv_blocks", "Blocks of the KV cache.", RuntimeStats::kvBlocks);
        gauge(registry, runtime, "polyphon_kv_blocks_used", "Blocks of the KV cache in use.", RuntimeStats::kvBlocksUsed);
        gauge(registry, runtime, "polyphon_kv_blocks_cached", "Blocks of the KV cache kept for their prefixes, free when wanted.",
                stats -> stats.prefix().blocks());
        count(registry, runtime, "polyphon_prefix_cache_queried_tokens_total", "Tokens of prompts looked up in the prefix cache.",
                stats -> stats.prefix().queried());
        count(registry, runtime, "polyphon_prefix_cache_hit_tokens_total", "Tokens of prompts found in the prefix cache.",
                stats -> stats.prefix().hit());
        gauge(registry, runtime, "polyphon_adapters_loaded", "Adapters whose weights are in memory.", RuntimeStats::adaptersLoaded);
        gauge(registry, runtime, "polyphon_adapters_loaded_bytes", "Memory that those weights take.", RuntimeStats::adapterBytes);
        gauge(registry, runtime, "polyphon_adapters_waited_for", "Requests that wait for an adapter's files, or for room for it.",
                stats -> stats.tiers().waiting());
        tier(registry, runtime, "polyphon_adapter_tier_bytes", "Bytes that adapters take: on the disk (copies and uploads), in host memory, on the device.",
                Tier::bytes);
        tier(registry, runtime, "polyphon_adapter_tier_adapters", "Adapters in each of these tiers.", Tier::adapters);
        tierCount(registry, runtime, "polyphon_adapter_tier_hits_total", "Times that a tier had what was asked of it.", Tier::hits);
        tierCount(registry, runtime, "polyphon_adapter_tier_misses_total", "Times that a tier did not have it.", Tier::misses);
        tierCount(registry, runtime, "polyphon_adapter_tier_evictions_total", "Adapters that gave way to others in a tier.", Tier::evictions);
        merging(registry, runtime);
        GaugeWithCallback.builder()
                .name("polyphon_adapters_registered")
                .help("Adapters that requests may name.")
                .callback(gauge -> gauge.call(runtime.adapters().size()))
                .register(registry);
    }

    private static void merging(PrometheusRegistry registry, Runtime runtime) {
        GaugeWithCallback.builder().name("polyphon_merged_adapters").help("Adapters and mixes that new requests get merged.")
                .callback(gauge -> gauge.call(runtime.merges().status().merges().stream().filter(merge -> merge.state() == State.MERGED).count()))
                .register(registry);
        GaugeWithCallback.builder().name("polyphon_merged_bytes").help("Memory that merged copies take, those that requests only finish with included.")
                .callback(gauge -> gauge.call(runtime.merges().status().bytes()))
                .register(registry);
        CounterWithCallback.builder().name("polyphon_merged_rows_total").help("Rows computed with merged copies.")
                .callback(counter -> counter.call(runtime.merges().status().rows()))
                .register(registry);
        CounterWithCallback.builder().name("polyphon_merges_total").labelNames("outcome")
                .help("Adapters merged, unmerged, rejected because merging would not have paid, and failed to merge.")
                .callback(counter -> {
                    MergeStatus status = runtime.merges().status();
                    counter.call(status.merged(), "merged");
                    counter.call(status.unmerged(), "unmerged");
                    counter.call(status.rejected(), "rejected");
                    counter.call(status.failed(), "failed");
                })
                .register(registry);
    }

    private Counter ofTenant(PrometheusRegistry registry, String name, String help) {
        return tenants.bind(Counter.builder().name(name).help(help).labelNames("tenant").register(registry), 0);
    }

    private static void gauge(PrometheusRegistry registry, Runtime runtime, String name, String help, ToDoubleFunction<RuntimeStats> value) {
        GaugeWithCallback.builder()
                .name(name)
                .help(help)
                .callback(gauge -> gauge.call(value.applyAsDouble(runtime.stats())))
                .register(registry);
    }

    private static void tier(PrometheusRegistry registry, Runtime runtime, String name, String help, ToDoubleFunction<Tier> value) {
        GaugeWithCallback.builder().name(name).help(help).labelNames("tier").callback(gauge -> {
            AdapterTiers tiers = runtime.stats().tiers();
            gauge.call(value.applyAsDouble(tiers.disk()), "disk");
            gauge.call(value.applyAsDouble(tiers.host()), "host");
            gauge.call(value.applyAsDouble(tiers.device()), "device");
        }).register(registry);
    }

    private static void tierCount(PrometheusRegistry registry, Runtime runtime, String name, String help, ToDoubleFunction<Tier> value) {
        CounterWithCallback.builder().name(name).help(help).labelNames("tier").callback(counter -> {
            AdapterTiers tiers = runtime.stats().tiers();
            counter.call(value.applyAsDouble(tiers.disk()), "disk");
            counter.call(value.applyAsDouble(tiers.host()), "host");
            counter.call(value.applyAsDouble(tiers.device()), "device");
        }).register(registry);
    }

    private static void count(PrometheusRegistry registry, Runtime runtime, String name, String help, ToDoubleFunction<RuntimeStats> value) {
        CounterWithCallback.builder()
                .name(name)
                .help(help)
                .callback(counter -> counter.call(value.applyAsDouble(runtime.stats())))
                .register(registry);
    }

    private static Histogram seconds(PrometheusRegistry registry, String name, String help) {
        return Histogram.builder().name(name).help(help).unit(Unit.SECONDS).classicUpperBounds(Buckets.SECONDS).register(registry);
    }

    private static Histogram counts(PrometheusRegistry registry, String name, String help) {
        return Histogram.builder().name(name).help(help).classicUpperBounds(Buckets.COUNTS).register(registry);
    }

    private static double in(Duration duration) {
        return duration.toNanos() / 1e9;
    }

    @Override
    public void step(Step done) {
        step.observe(in(done.duration()));
        sequences.observe(done.sequences());
        distinctAdapters.observe(done.adapters());
        decodeRows.inc(done.decodeRows());
        prefillRows.inc(done.prefillRows());
    }

    @Override
    public void stepFailed() {
        stepFailures.inc();
    }

    @Override
    public void sequenceFailed(String tenant) {
        sequenceFailures.labelValues(tenants.of(tenant)).inc();
    }

    @Override
    public void adapterLoad(String adapter, Duration time, boolean success) {
        loadTime.observe(in(time));
        loads.labelValues(success ? "ok" : "failed").inc();
    }

    @Override
    public void adapterDamaged(String adapter) {
        damaged.inc();
    }

    @Override
    public void admitted(String tenant, Duration queued) {
        queue.labelValues(tenants.of(tenant)).observe(in(queued));
    }

    @Override
    public void preempted(String tenant) {
        preemptions.labelValues(tenants.of(tenant)).inc();
    }

    @Override
    public void expired(String tenant) {
        expirations.labelValues(tenants.of(tenant)).inc();
    }
}
