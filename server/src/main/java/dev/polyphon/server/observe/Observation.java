package dev.polyphon.server.observe;

import dev.polyphon.runtime.Runtime;
import dev.polyphon.server.http.Exchange;
import dev.polyphon.server.http.HttpObserver;
import dev.polyphon.server.http.Response;
import dev.polyphon.server.http.Router;
import dev.polyphon.server.openai.ApiObserver;
import io.prometheus.metrics.config.EscapingScheme;
import io.prometheus.metrics.core.metrics.GaugeWithCallback;
import io.prometheus.metrics.core.metrics.Info;
import io.prometheus.metrics.expositionformats.ExpositionFormats;
import io.prometheus.metrics.instrumentation.jvm.JvmBufferPoolMetrics;
import io.prometheus.metrics.instrumentation.jvm.JvmClassLoadingMetrics;
import io.prometheus.metrics.instrumentation.jvm.JvmCompilationMetrics;
import io.prometheus.metrics.instrumentation.jvm.JvmGarbageCollectorMetrics;
import io.prometheus.metrics.instrumentation.jvm.JvmMemoryMetrics;
import io.prometheus.metrics.instrumentation.jvm.JvmMemoryPoolAllocationMetrics;
import io.prometheus.metrics.instrumentation.jvm.JvmRuntimeInfoMetric;
import io.prometheus.metrics.instrumentation.jvm.JvmThreadsMetrics;
import io.prometheus.metrics.instrumentation.jvm.ProcessMetrics;
import io.prometheus.metrics.model.registry.PrometheusRegistry;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.function.BooleanSupplier;
import java.util.function.Supplier;
import java.util.zip.GZIPOutputStream;

/** All that is measured, and the routes that show it: {@code /metrics}, {@code /health}, {@code /version}. */
public final class Observation implements AutoCloseable {
    private final PrometheusRegistry registry = new PrometheusRegistry();
    private final ExpositionFormats formats = ExpositionFormats.init();
    private final Traces traces;
    private final HttpMetrics http;
    private final ApiObserver requests;

    public Observation(ObserveSettings settings, Runtime runtime) {
        var adapters = new TopLabels(settings.adapterLabels());
        var tenants = new TopLabels(settings.tenantLabels());
        var demand = new Demand();
        traces = new Traces(registry, settings.traces());
        http = new HttpMetrics(registry, settings.accessLog(), traces);
        requests = new Observers(List.of(demand, new RequestMetrics(registry, adapters, tenants, demand), new GenAiMetrics(registry), traces));
        runtime.observe(new RuntimeMetrics(registry, runtime, tenants));
        new InferenceGatewayMetrics(registry, runtime, demand, settings.batchAdapters());
        Info.builder().name("polyphon_build_info").help("The program's version.").labelNames("version").register(registry)
                .addLabelValues(Version.TEXT);
        if (settings.jvm()) {
            registerJvm();
        }
    }

    /** All of JvmMetrics but its JvmNativeMemoryMetrics: that opens all MBeans of the platform, which takes a while, and has nothing to show by default. */
    private void registerJvm() {
        JvmThreadsMetrics.builder().register(registry);
        JvmBufferPoolMetrics.builder().register(registry);
        JvmClassLoadingMetrics.builder().register(registry);
        JvmCompilationMetrics.builder().register(registry);
        JvmGarbageCollectorMetrics.builder().register(registry);
        JvmMemoryPoolAllocationMetrics.builder().register(registry);
        JvmMemoryMetrics.builder().register(registry);
        JvmRuntimeInfoMetric.builder().register(registry);
        ProcessMetrics.builder().register(registry);
    }

    /** Shows how far the writing of usage is behind. */
    public void usage(Supplier<Duration> behind) {
        GaugeWithCallback.builder()
                .name("polyphon_usage_unwritten_seconds")
                .help("How long usage and the audit log could not be written, and are kept in memory; 0 when they can.")
                .callback(gauge -> gauge.call(behind.get().toNanos() / 1e9))
                .register(registry);
    }

    /** Sends the traces that are left. */
    @Override
    public void close() {
        traces.close();
    }

    public HttpObserver http() {
        return http;
    }

    public ApiObserver requests() {
        return requests;
    }

    /**
     * Adds the routes.
     *
     * @param ready whether requests should be sent here
     */
    public void addTo(Router router, BooleanSupplier ready) {
        router.get("/metrics", exchange -> exchange.offload(() -> metrics(exchange)))
                .get("/health/live", exchange -> exchange.respond(status(200, "live")))
                .get("/version", exchange -> exchange.respond(json(200, "{\"version\":\"" + Version.TEXT + "\"}")));
        for (String path : List.of("/health", "/health/ready", "/ping")) {
            router.get(path, exchange -> exchange.respond(ready.getAsBoolean() ? status(200, "ready") : status(503, "not ready")));
        }
    }

    private static Response status(int code, String word) {
        return json(code, "{\"status\":\"" + word + "\"}").with("Cache-Control", "no-store");
    }

    private static Response json(int code, String body) {
        return Response.json(code, body.getBytes(StandardCharsets.UTF_8));
    }

    /** In the format that the scraper prefers: native histograms are in the protobuf one only. */
    private void metrics(Exchange exchange) {
        String accept = exchange.request().header("Accept");
        String codings = exchange.request().header("Accept-Encoding");
        boolean gzip = codings != null && codings.contains("gzip");
        var writer = formats.findWriter(accept);
        var body = new ByteArrayOutputStream(64 << 10);
        try (OutputStream out = gzip ? new GZIPOutputStream(body) : body) {
            writer.write(out, registry.scrape(), EscapingScheme.fromAcceptHeader(accept));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        exchange.respond(new Response(
                200, writer.getContentType(), body.toByteArray(), gzip ? Map.of("Content-Encoding", "gzip") : Map.of()));
    }
}
