package dev.polyphon.server.observe;

import dev.polyphon.server.openai.ApiObserver;
import io.prometheus.metrics.core.metrics.Histogram;
import io.prometheus.metrics.model.registry.PrometheusRegistry;
import io.prometheus.metrics.model.snapshots.Unit;
import java.util.ArrayList;
import java.util.List;

/**
 * The metrics of OpenTelemetry's <a href="https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/">conventions for generative AI</a>, under
 * the names that its Prometheus exporters give them, with the bounds that the conventions advise.
 */
final class GenAiMetrics implements ApiObserver {
    static final String PROVIDER = "polyphon";

    private static final double NANOS = 1e9;
    private static final double[] DURATIONS = {0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92};
    private static final double[] FIRST = {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10};
    private static final double[] PER_TOKEN = {0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5};
    private static final double[] TOKENS = {1, 4, 16, 64, 256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216, 67_108_864};

    private final Histogram duration;
    private final Histogram firstToken;
    private final Histogram perToken;
    private final Histogram tokens;

    GenAiMetrics(PrometheusRegistry registry) {
        duration = seconds(registry, "gen_ai_server_request_duration_seconds", "Time of a request to its last byte.", DURATIONS, "error_type");
        firstToken = seconds(registry, "gen_ai_server_time_to_first_token_seconds", "Time of a request to its first token.", FIRST);
        perToken = seconds(registry, "gen_ai_server_time_per_output_token_seconds", "Time per token after the first.", PER_TOKEN);
        tokens = Histogram.builder()
                .name("gen_ai_client_token_usage")
                .help("Tokens of a request: input and output.")
                .classicUpperBounds(TOKENS)
                .labelNames("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "gen_ai_token_type")
                .register(registry);
    }

    private static Histogram seconds(PrometheusRegistry registry, String name, String help, double[] bounds, String... more) {
        var labels = new ArrayList<>(List.of("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model"));
        labels.addAll(List.of(more));
        return Histogram.builder()
                .name(name)
                .help(help)
                .unit(Unit.SECONDS)
                .classicUpperBounds(bounds)
                .labelNames(labels.toArray(String[]::new))
                .register(registry);
    }

    @Override
    public void firstToken(Subject subject, long nanos) {
        firstToken.labelValues(subject.operation(), PROVIDER, subject.model()).observe(nanos / NANOS);
    }

    @Override
    public void choice(Subject subject, int count, long nanos) {
        if (count > 1) {
            perToken.labelValues(subject.operation(), PROVIDER, subject.model()).observe(nanos / NANOS / (count - 1));
        }
    }

    @Override
    public void ended(Ended ended) {
        Subject subject = ended.subject();
        duration.labelValues(subject.operation(), PROVIDER, subject.model(), errorType(ended.outcome())).observe(ended.times().nanos() / NANOS);
        if (ended.outcome() == Outcome.OK) {
            tokens.labelValues(subject.operation(), PROVIDER, subject.model(), "input").observe(ended.usage().prompt());
            tokens.labelValues(subject.operation(), PROVIDER, subject.model(), "output").observe(ended.usage().completion());
        }
    }

    /** What went wrong, in a word; empty when nothing did. */
    static String errorType(Outcome outcome) {
        return switch (outcome) {
            case OK -> "";
            case REJECTED -> "rejected";
            case OVERLOADED -> "overloaded";
            case CANCELLED -> "cancelled";
            case FAILED -> "failed";
        };
    }
}
