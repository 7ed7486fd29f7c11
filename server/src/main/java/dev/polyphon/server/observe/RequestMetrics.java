package dev.polyphon.server.observe;

import dev.polyphon.server.openai.ApiObserver;
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
        observe(firstToken, subject, nanos / NANOS);
    }

    @Override
    public void choice(Subject subject, int tokens, long nanos) {
        if (tokens > 1) {
            observe(perToken, subject, nanos / NANOS / (tokens - 1));
        }
    }

    @Override
    public void ended(Ended ended) {
        Subject subject = ended.subject();
        adapters.count(subject.adapter());
        tenants.count(subject.tenant());
        String adapter = adapters.of(subject.adapter());
        String tenant = tenants.of(subject.tenant());
        String outcome = ended.outcome().name().toLowerCase(Locale.ROOT);
        requests.labelValues(subject.model(), adapter, outcome).inc();
        promptTokens.labelValues(subject.model(), adapter).inc(ended.usage().prompt());
        generatedTokens.labelValues(subject.model(), adapter).inc(ended.usage().completion());
        tenantRequests.labelValues(tenant, outcome).inc();
        tenantPromptTokens.labelValues(tenant).inc(ended.usage().prompt());
        tenantGeneratedTokens.labelValues(tenant).inc(ended.usage().completion());
        observe(duration, subject, ended.times().nanos() / NANOS);
    }

    private void observe(Histogram histogram, Subject subject, double seconds) {
        histogram.labelValues(subject.model(), subject.adapterClass(), tenants.of(subject.tenant())).observe(seconds);
    }
}
