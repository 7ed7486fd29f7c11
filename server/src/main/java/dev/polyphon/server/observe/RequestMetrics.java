package dev.polyphon.server.observe;

import dev.polyphon.server.openai.ApiObserver;
import dev.polyphon.server.openai.Usage;
import io.prometheus.metrics.core.metrics.Counter;
import io.prometheus.metrics.core.metrics.Histogram;
import io.prometheus.metrics.model.registry.PrometheusRegistry;
import io.prometheus.metrics.model.snapshots.Unit;
import java.util.Locale;

/** Requests for tokens, by model and adapter. */
final class RequestMetrics implements ApiObserver {
    private static final double NANOS = 1e9;

    private final AdapterLabels adapters;
    private final Counter requests;
    private final Counter promptTokens;
    private final Counter generatedTokens;
    private final Histogram firstToken;
    private final Histogram perToken;
    private final Histogram duration;

    RequestMetrics(PrometheusRegistry registry, AdapterLabels adapters) {
        this.adapters = adapters;
        requests = Counter.builder()
                .name("polyphon_requests_total")
                .help("Requests for tokens by how they ended: ok, rejected, overloaded, cancelled or failed.")
                .labelNames("model", "adapter", "outcome")
                .register(registry);
        promptTokens = counter(registry, "polyphon_prompt_tokens_total", "Tokens of prompts.");
        generatedTokens = counter(registry, "polyphon_generated_tokens_total", "Tokens generated.");
        firstToken = seconds(registry, "polyphon_time_to_first_token_seconds", "From a request's header to its first token.");
        perToken = seconds(registry, "polyphon_time_per_output_token_seconds", "Mean time between the tokens of a choice, the first left out.");
        duration = seconds(registry, "polyphon_request_duration_seconds", "From a request's header to the end of its answer.");
    }

    private static Counter counter(PrometheusRegistry registry, String name, String help) {
        return Counter.builder().name(name).help(help).labelNames("model", "adapter").register(registry);
    }

    private static Histogram seconds(PrometheusRegistry registry, String name, String help) {
        return Histogram.builder()
                .name(name)
                .help(help)
                .unit(Unit.SECONDS)
                .classicUpperBounds(Buckets.SECONDS)
                .labelNames("model", "adapter")
                .register(registry);
    }

    @Override
    public void firstToken(String model, String adapter, long nanos) {
        firstToken.labelValues(model, adapters.of(adapter)).observe(nanos / NANOS);
    }

    @Override
    public void choice(String model, String adapter, int tokens, long nanos) {
        if (tokens > 1) {
            perToken.labelValues(model, adapters.of(adapter)).observe(nanos / NANOS / (tokens - 1));
        }
    }

    @Override
    public void ended(String model, String adapter, Outcome outcome, long nanos, Usage usage) {
        String label = adapters.of(adapter);
        requests.labelValues(model, label, outcome.name().toLowerCase(Locale.ROOT)).inc();
        duration.labelValues(model, label).observe(nanos / NANOS);
        promptTokens.labelValues(model, label).inc(usage.prompt());
        generatedTokens.labelValues(model, label).inc(usage.completion());
    }
}
