package dev.polyphon.server.observe;

import dev.polyphon.server.http.HttpObserver;
import dev.polyphon.server.http.Request;
import io.prometheus.metrics.core.metrics.Counter;
import io.prometheus.metrics.core.metrics.Gauge;
import io.prometheus.metrics.model.registry.PrometheusRegistry;
import java.time.Instant;
import java.util.Map;

/** Connections and answers; writes the access log, and begins and ends traces, when they are wanted. */
final class HttpMetrics implements HttpObserver {
    private final AccessLog accessLog;
    private final Traces traces;
    private final Gauge open;
    private final Counter refused;
    private final Counter slow;
    private final Counter answers;
    private final Gauge certificateEnds;
    private final Counter certificatesRefused;

    HttpMetrics(PrometheusRegistry registry, AccessLog accessLog, Traces traces) {
        this.accessLog = accessLog;
        this.traces = traces;
        open = Gauge.builder().name("polyphon_http_connections").help("Connections open.").register(registry);
        refused = Counter.builder()
                .name("polyphon_http_connections_refused_total")
                .help("Connections turned away because there were too many.")
                .register(registry);
        slow = Counter.builder()
                .name("polyphon_http_slow_clients_total")
                .help("Clients disconnected because they were too slow to send a request (sender) or to take an answer (reader).")
                .labelNames("kind")
                .register(registry);
        slow.initLabelValues("reader");
        slow.initLabelValues("sender");
        answers = Counter.builder()
                .name("polyphon_http_answers_total")
                .help("Answers by route and status; status 0 when the client left before there was one.")
                .labelNames("route", "status")
                .register(registry);
        certificateEnds = Gauge.builder()
                .name("polyphon_tls_certificate_not_after_seconds")
                .help("When the certificate in use expires, in seconds since 1970; 0 without TLS.")
                .register(registry);
        certificatesRefused = Counter.builder()
                .name("polyphon_tls_certificate_refused_total")
                .help("Looks at the certificate's files that found them changed and not usable: the certificate before stays in use.")
                .register(registry);
    }

    @Override
    public void connectionOpened() {
        open.inc();
    }

    @Override
    public void connectionClosed() {
        open.dec();
    }

    @Override
    public void connectionRefused() {
        refused.inc();
    }

    @Override
    public void slowReader() {
        slow.labelValues("reader").inc();
    }

    @Override
    public void slowSender() {
        slow.labelValues("sender").inc();
    }

    @Override
    public void certificate(Instant notAfter) {
        certificateEnds.set(notAfter.getEpochSecond());
    }

    @Override
    public void certificateRefused() {
        certificatesRefused.inc();
    }

    @Override
    public Object arrived(Request request) {
        return traces.arrived(request);
    }

    @Override
    public void answered(Request request, String route, Map<String, Object> notes, int status, long bytes, long nanos, boolean whole) {
        answers.labelValues(route, Integer.toString(status)).inc();
        accessLog.answered(request, route, notes, status, bytes, nanos, whole);
        traces.answered(request, route, notes, status, bytes, whole);
    }
}
