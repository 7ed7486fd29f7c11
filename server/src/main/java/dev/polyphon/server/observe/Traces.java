package dev.polyphon.server.observe;

import dev.polyphon.server.http.Request;
import dev.polyphon.server.openai.ApiObserver;
import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.api.common.Attributes;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.SpanKind;
import io.opentelemetry.api.trace.StatusCode;
import io.opentelemetry.api.trace.Tracer;
import io.opentelemetry.api.trace.propagation.W3CTraceContextPropagator;
import io.opentelemetry.context.Context;
import io.opentelemetry.context.propagation.TextMapGetter;
import io.opentelemetry.exporter.otlp.http.trace.OtlpHttpSpanExporter;
import io.opentelemetry.sdk.resources.Resource;
import io.opentelemetry.sdk.trace.SdkTracerProvider;
import io.opentelemetry.sdk.trace.samplers.Sampler;
import io.prometheus.metrics.core.metrics.Counter;
import io.prometheus.metrics.model.registry.PrometheusRegistry;
import java.net.InetSocketAddress;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.TimeUnit;

/**
 * Traces of requests, by OpenTelemetry's conventions for <a href="https://opentelemetry.io/docs/specs/semconv/http/http-spans/">HTTP</a> and for
 * <a href="https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/">generative AI</a>: a span of the request, which goes on with its caller's trace;
 * in that one for each call of the model; in that its adapter's load, its wait in the queue, the reading of its prompt and the making of its tokens. Nothing
 * of prompts, answers, keys or queries is in them. Called on event loops; spans are sent elsewhere.
 */
final class Traces implements ApiObserver, AutoCloseable {
    /** What is asked again and again, and tells nothing. */
    private static final Set<String> UNTRACED = Set.of("/health", "/health/live", "/health/ready", "/ping", "/metrics");
    private static final Set<String> METHODS = Set.of("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT");

    private static final AttributeKey<String> ERROR = AttributeKey.stringKey("error.type");
    private static final AttributeKey<Long> STATUS = AttributeKey.longKey("http.response.status_code");
    private static final AttributeKey<Long> BYTES = AttributeKey.longKey("http.response.body.size");
    private static final AttributeKey<String> ROUTE = AttributeKey.stringKey("http.route");
    private static final AttributeKey<Long> INPUT = AttributeKey.longKey("gen_ai.usage.input_tokens");
    private static final AttributeKey<Long> CACHED = AttributeKey.longKey("gen_ai.usage.cache_read.input_tokens");
    private static final AttributeKey<Long> OUTPUT = AttributeKey.longKey("gen_ai.usage.output_tokens");

    private static final TextMapGetter<Request> HEADERS = new TextMapGetter<>() {
        @Override
        public Iterable<String> keys(Request request) {
            return W3CTraceContextPropagator.getInstance().fields();
        }

        @Override
        public String get(Request request, String name) {
            return request.header(name);
        }
    };

    /**
     * A request's span, kept as the request's {@linkplain Request#context context}.
     *
     * @param offset from {@link System#nanoTime()} to nanoseconds since 1970
     */
    record Traced(Span span, long offset) {
        static Traced of(Request request) {
            return request.context() instanceof Traced traced ? traced : null;
        }
    }

    private final SdkTracerProvider provider;
    private final Tracer tracer;
    private final long patience;

    /** @param settings with an endpoint, or traces stay off */
    Traces(PrometheusRegistry registry, TraceSettings settings) {
        patience = settings.timeout().toMillis();
        Counter spans = Counter.builder()
                .name("polyphon_trace_spans_total")
                .help("Spans recorded: sent, failed to be sent, or dropped because too many waited.")
                .labelNames("outcome")
                .register(registry);
        List.of("sent", "failed", "dropped").forEach(spans::initLabelValues);
        if (settings.endpoint() == null) {
            provider = null;
            tracer = null;
            return;
        }
        var exporter = OtlpHttpSpanExporter.builder()
                .setEndpoint(address(settings))
                .setTimeout(settings.timeout())
                .setCompression("gzip")
                .setHeaders(settings::headers)
                .build();
        provider = SdkTracerProvider.builder()
                .setResource(Resource.getDefault().merge(Resource.create(Attributes.of(
                        AttributeKey.stringKey("service.name"), settings.service(),
                        AttributeKey.stringKey("service.version"), Version.TEXT,
                        AttributeKey.stringKey("service.instance.id"), UUID.randomUUID().toString()))))
                .setSampler(Sampler.parentBased(Sampler.traceIdRatioBased(settings.sample() / 100.0)))
                .addSpanProcessor(new SpanQueue(spans, exporter, settings))
                .build();
        tracer = provider.get("dev.polyphon");
    }

    private static String address(TraceSettings settings) {
        String base = settings.endpoint().toString().replaceAll("/+$", "");
        return base.endsWith("/v1/traces") ? base : base + "/v1/traces";
    }

    /** Where a request stands in its caller's trace (W3C Trace Context); the root where it does not say so, or not validly: that begins a new trace. */
    static Context caller(Request request) {
        return W3CTraceContextPropagator.getInstance().extract(Context.root(), request, HEADERS);
    }

    /** Begins a request's span; null where there is none. */
    Traced arrived(Request request) {
        if (tracer == null || UNTRACED.contains(request.path())) {
            return null;
        }
        Instant now = Instant.now();
        long offset = TimeUnit.SECONDS.toNanos(now.getEpochSecond()) + now.getNano() - System.nanoTime();
        String method = METHODS.contains(request.method()) ? request.method() : "_OTHER";
        var span = tracer.spanBuilder(method.equals("_OTHER") ? "HTTP" : method)
                .setParent(caller(request))
                .setSpanKind(SpanKind.SERVER)
                .setStartTimestamp(request.received() + offset, TimeUnit.NANOSECONDS)
                .setAttribute("http.request.method", method)
                .setAttribute("url.path", request.path())
                .setAttribute("polyphon.request.id", request.id());
        if (request.remote() instanceof InetSocketAddress remote) {
            span.setAttribute("client.address", remote.getAddress().getHostAddress());
        }
        return new Traced(span.startSpan(), offset);
    }

    /** Ends it. */
    void answered(Request request, String route, Map<String, Object> notes, int status, long bytes, boolean whole) {
        Traced traced = Traced.of(request);
        if (traced == null) {
            return;
        }
        Span span = traced.span;
        if (!route.isEmpty()) {
            span.setAttribute(ROUTE, route);
            span.updateName((METHODS.contains(request.method()) ? request.method() : "HTTP") + " " + route);
        }
        if (status != 0) {
            span.setAttribute(STATUS, status);
            span.setAttribute(BYTES, bytes);
        }
        if (notes.get("grpcStatus") instanceof String rpc) {
            span.setAttribute("rpc.system.name", "grpc");
            span.setAttribute("rpc.response.status_code", rpc);
        }
        if (status >= 500) {
            span.setAttribute(ERROR, Integer.toString(status));
            span.setStatus(StatusCode.ERROR);
        } else if (!whole) {
            span.setAttribute(ERROR, "cut");
        }
        span.end(System.nanoTime() + traced.offset, TimeUnit.NANOSECONDS);
    }

    @Override
    public void ended(Ended ended) {
        Traced traced = Traced.of(ended.request());
        if (traced == null || !traced.span.isRecording() || ended.times().accepted() == 0) {
            return;
        }
        Subject subject = ended.subject();
        Times times = ended.times();
        Span span = begin(traced, Context.root().with(traced.span), subject.operation() + " " + subject.model(), times.accepted());
        span.setAttribute("gen_ai.operation.name", subject.operation());
        span.setAttribute("gen_ai.provider.name", GenAiMetrics.PROVIDER);
        span.setAttribute("gen_ai.request.model", subject.model());
        span.setAttribute("gen_ai.response.model", subject.model());
        span.setAttribute("gen_ai.response.id", ended.id());
        span.setAttribute("polyphon.tenant", subject.tenant());
        span.setAttribute("polyphon.adapter", subject.adapter());
        span.setAttribute("polyphon.adapter.class", subject.adapterClass());
        if (times.started() != 0) {
            span.setAttribute(INPUT, ended.usage().prompt());
            span.setAttribute(CACHED, ended.usage().cached());
            span.setAttribute(OUTPUT, ended.usage().completion());
        }
        if (ended.outcome() != Outcome.OK) {
            span.setAttribute(ERROR, GenAiMetrics.errorType(ended.outcome()));
            if (ended.outcome() != Outcome.CANCELLED) {
                span.setStatus(StatusCode.ERROR);
            }
        }
        Context inside = Context.root().with(span);
        long queued = times.accepted();
        boolean told = times.ready() != 0 || times.started() == 0;
        if (told && !subject.adapterClass().equals("none")) {
            queued = times.ready();
            phase(traced, inside, "adapter", times.accepted(), queued, times.ended());
        }
        phase(traced, inside, "queue", queued, times.started(), times.ended());
        phase(traced, inside, "prefill", times.started(), times.firstToken(), times.ended());
        phase(traced, inside, "decode", times.firstToken(), times.ended(), times.ended());
        span.end(times.ended() + traced.offset, TimeUnit.NANOSECONDS);
    }

    private Span begin(Traced traced, Context parent, String name, long from) {
        return tracer.spanBuilder(name).setParent(parent).setStartTimestamp(from + traced.offset, TimeUnit.NANOSECONDS).startSpan();
    }

    /** @param from 0 for a phase that was not reached, to: 0 for one that lasted to the end */
    private void phase(Traced traced, Context parent, String name, long from, long to, long end) {
        if (from != 0) {
            begin(traced, parent, name, from).end((to == 0 ? end : to) + traced.offset, TimeUnit.NANOSECONDS);
        }
    }

    /** Sends what waits, as far as a try to send takes; then nothing more. */
    @Override
    public void close() {
        if (provider != null) {
            provider.shutdown().join(patience, TimeUnit.MILLISECONDS);
        }
    }
}
