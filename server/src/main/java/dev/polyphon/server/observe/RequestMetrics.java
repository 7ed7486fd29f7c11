package dev.polyphon.server.observe;

import dev.polyphon.server.openai.ApiObserver;
import io.prometheus.metrics.core.datapoints.CounterDataPoint;
import io.prometheus.metrics.core.datapoints.DistributionDataPoint;
import io.prometheus.metrics.core.metrics.Counter;
import io.prometheus.metrics.core.metrics.GaugeWithCallback;
import io.prometheus.metrics.core.metrics.Histogram;
import io.prometheus.metrics.model.registry.PrometheusRegistry;
import io.prometheus.metrics.model.snapshots.Unit;
import java.util.Locale;
import java.util.TreeMap;
import java.util.function.ToIntFunction;

/** Requests for tokens: counts by model and adapter and by tenant; times by model, class of adapter and tenant. */
final class RequestMetrics implements ApiObserver {
    private static final double NANOS = 1e9;

    private final TopLabels adapters;
    private final TopLabels tenants;
    private final Counter requests;
    private final Counter promptTokens;
    private final Counter generatedTokens;
    private final Counter tenantRequests;
    private final Counter tenantPromptTokens;
    private final Counter tenantGeneratedTokens;
    private final Histogram firstToken;
    private final Histogram perToken;
    private final Histogram duration;
    private final Cached<Subject, Series> series;

    /** Where requests of a subject are counted: shown is only what there was. What two threads find at once is the same. */
    private final class Series {
        final DistributionDataPoint duration;
        final CounterDataPoint promptTokens;
        final CounterDataPoint generatedTokens;
        final CounterDataPoint tenantPromptTokens;
        final CounterDataPoint tenantGeneratedTokens;
        private final String model;
        private final String adapterClass;
        private final String adapter;
        private final String tenant;
        private DistributionDataPoint firstToken;
        private DistributionDataPoint perToken;
        private final CounterDataPoint[] outcomes = new CounterDataPoint[Outcome.values().length];
        private final CounterDataPoint[] tenantOutcomes = new CounterDataPoint[Outcome.values().length];

        Series(Subject subject) {
            model = subject.model();
            adapterClass = subject.adapterClass();
            adapter = adapters.of(subject.adapter());
            tenant = tenants.of(subject.tenant());
            duration = RequestMetrics.this.duration.labelValues(model, adapterClass, tenant);
            promptTokens = RequestMetrics.this.promptTokens.labelValues(model, adapter);
            generatedTokens = RequestMetrics.this.generatedTokens.labelValues(model, adapter);
            tenantPromptTokens = RequestMetrics.this.tenantPromptTokens.labelValues(tenant);
            tenantGeneratedTokens = RequestMetrics.this.tenantGeneratedTokens.labelValues(tenant);
        }

        DistributionDataPoint firstToken() {
            if (firstToken == null) {
                firstToken = RequestMetrics.this.firstToken.labelValues(model, adapterClass, tenant);
            }
            return firstToken;
        }

        DistributionDataPoint perToken() {
            if (perToken == null) {
                perToken = RequestMetrics.this.perToken.labelValues(model, adapterClass, tenant);
            }
            return perToken;
        }

        void count(Outcome outcome) {
            int i = outcome.ordinal();
            if (tenantOutcomes[i] == null || outcomes[i] == null) {
                String word = outcome.name().toLowerCase(Locale.ROOT);
                outcomes[i] = requests.labelValues(model, adapter, word);
                tenantOutcomes[i] = tenantRequests.labelValues(tenant, word);
            }
            outcomes[i].inc();
            tenantOutcomes[i].inc();
        }
    }

    RequestMetrics(PrometheusRegistry registry, TopLabels adapters, TopLabels tenants, Demand demand) {
        this.adapters = adapters;
        this.tenants = tenants;
        requests = adapters.bind(counter(registry, "polyphon_requests_total",
                "Requests for tokens by how they ended: ok, rejected, overloaded, cancelled or failed.", "model", "adapter", "outcome"), 1);
        promptTokens = adapters.bind(counter(registry, "polyphon_prompt_tokens_total", "Tokens of prompts.", "model", "adapter"), 1);
        generatedTokens = adapters.bind(counter(registry, "polyphon_generated_tokens_total", "Tokens generated.", "model", "adapter"), 1);
        tenantRequests = tenants.bind(counter(registry, "polyphon_tenant_requests_total",
                "Requests for tokens of a tenant by how they ended.", "tenant", "outcome"), 0);
        tenantPromptTokens = tenants.bind(counter(registry, "polyphon_tenant_prompt_tokens_total", "Tokens of a tenant's prompts.", "tenant"), 0);
        tenantGeneratedTokens = tenants.bind(counter(registry, "polyphon_tenant_generated_tokens_total", "Tokens generated for a tenant.", "tenant"), 0);
        firstToken = seconds(registry, "polyphon_time_to_first_token_seconds", "From a request's header to its first token.");
        perToken = seconds(registry, "polyphon_time_per_output_token_seconds", "Mean time between the tokens of a choice, the first left out.");
        duration = seconds(registry, "polyphon_request_duration_seconds", "From a request's header to the end of its answer.");
        series = new Cached<>(() -> adapters.version() + tenants.version(), Series::new);
        load(registry, demand, "polyphon_tenant_requests_waiting", "Requests of a tenant that wait for the batch.", Demand.Load::waiting);
        load(registry, demand, "polyphon_tenant_requests_running", "Requests of a tenant in the batch.", Demand.Load::running);
    }

    private static Counter counter(PrometheusRegistry registry, String name, String help, String... labels) {
        return Counter.builder().name(name).help(help).labelNames(labels).register(registry);
    }

    private Histogram seconds(PrometheusRegistry registry, String name, String help) {
        return tenants.bind(Histogram.builder()
                .name(name)
                .help(help)
                .unit(Unit.SECONDS)
                .classicUpperBounds(Buckets.SECONDS)
                .labelNames("model", "adapter_class", "tenant")
                .register(registry), 2);
    }

    private void load(PrometheusRegistry registry, Demand demand, String name, String help, ToIntFunction<Demand.Load> value) {
        GaugeWithCallback.builder()
                .name(name)
                .help(help)
                .labelNames("tenant")
                .callback(gauge -> {
                    var sums = new TreeMap<String, Integer>();
                    tenants.shown().forEach(tenant -> sums.put(tenant, 0));
                    demand.tenants().forEach((tenant, load) -> sums.merge(tenants.of(tenant), value.applyAsInt(load), Integer::sum));
                    sums.forEach((tenant, sum) -> gauge.call(sum, tenant));
                })
                .register(registry);
    }

    @Override
    public void firstToken(Subject subject, long nanos) {
        series.of(subject).firstToken().observe(nanos / NANOS);
    }

    @Override
    public void choice(Subject subject, int tokens, long nanos) {
        if (tokens > 1) {
            series.of(subject).perToken().observe(nanos / NANOS / (tokens - 1));
        }
    }

    @Override
    public void ended(Ended ended) {
        Subject subject = ended.subject();
        adapters.count(subject.adapter());
        tenants.count(subject.tenant());
        Series counted = series.of(subject);
        counted.count(ended.outcome());
        counted.promptTokens.inc(ended.usage().prompt());
        counted.generatedTokens.inc(ended.usage().completion());
        counted.tenantPromptTokens.inc(ended.usage().prompt());
        counted.tenantGeneratedTokens.inc(ended.usage().completion());
        counted.duration.observe(ended.times().nanos() / NANOS);
    }
}
