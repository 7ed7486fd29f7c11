package dev.polyphon.server.observe;

import dev.polyphon.server.openai.ApiObserver;
import dev.polyphon.server.openai.Usage;
import io.prometheus.metrics.core.datapoints.DistributionDataPoint;
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
    private final Cached<Subject, Series> series;

    /** Where requests of a subject are counted: shown is only what there was. What two threads find at once is the same. */
    private final class Series {
        private final String operation;
        private final String model;
        private final DistributionDataPoint[] durations = new DistributionDataPoint[Outcome.values().length];
        private DistributionDataPoint firstToken;
        private DistributionDataPoint perToken;
        private DistributionDataPoint input;
        private DistributionDataPoint output;

        Series(Subject subject) {
            operation = subject.operation();
            model = subject.model();
        }

        DistributionDataPoint firstToken() {
            if (firstToken == null) {
                firstToken = GenAiMetrics.this.firstToken.labelValues(operation, PROVIDER, model);
            }
            return firstToken;
        }

        DistributionDataPoint perToken() {
            if (perToken == null) {
                perToken = GenAiMetrics.this.perToken.labelValues(operation, PROVIDER, model);
            }
            return perToken;
        }

        DistributionDataPoint duration(Outcome outcome) {
            int i = outcome.ordinal();
            if (durations[i] == null) {
                durations[i] = duration.labelValues(operation, PROVIDER, model, errorType(outcome));
            }
            return durations[i];
        }

        void use(Usage usage) {
            if (output == null) {
                input = tokens.labelValues(operation, PROVIDER, model, "input");
                output = tokens.labelValues(operation, PROVIDER, model, "output");
            }
            input.observe(usage.prompt());
            output.observe(usage.completion());
        }
    }

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
        series = new Cached<>(() -> 0, Series::new);
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
        series.of(subject).firstToken().observe(nanos / NANOS);
    }

    @Override
    public void choice(Subject subject, int count, long nanos) {
        if (count > 1) {
            series.of(subject).perToken().observe(nanos / NANOS / (count - 1));
        }
    }

    @Override
    public void ended(Ended ended) {
        Series counted = series.of(ended.subject());
        counted.duration(ended.outcome()).observe(ended.times().nanos() / NANOS);
        if (ended.outcome() == Outcome.OK) {
            counted.use(ended.usage());
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
