package dev.polyphon.server.observe;

import static dev.polyphon.server.Eventually.eventually;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.read.ListAppender;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.server.FakeRuntime;
import dev.polyphon.server.GrpcClient;
import dev.polyphon.server.RawClient;
import dev.polyphon.server.TestServer;
import dev.polyphon.server.config.ConfigException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.slf4j.LoggerFactory;

class TracesTest {
    private static final String TRACE = "0af7651916cd43dd8448eb211c80319c";
    private static final String CALLER = "b7ad6b7169203331";
    private static final String REQUEST = "{\"model\":\"french\",\"prompt\":\"alpha beta gamma\"}";

    private final Collector collector = new Collector();

    @AfterEach
    void stop() {
        collector.close();
    }

    private TestServer server(String... more) {
        var settings = new ArrayList<>(List.of("traces.endpoint=" + collector.endpoint(), "metrics.jvm=false"));
        settings.addAll(List.of(more));
        return new TestServer(settings.toArray(String[]::new));
    }

    private static String counted(TestServer server, String outcome) {
        return server.get("/metrics").body().lines().filter(line -> line.startsWith("polyphon_trace_spans_total{outcome=\"" + outcome + "\"}"))
                .map(line -> line.substring(line.indexOf(' ') + 1)).findFirst().orElse("");
    }

    @Test
    void goesOnWithTheCallersTrace() {
        Instant before = Instant.now();
        String id;
        try (var server = server("traces.headers=X-Key=letmein", "traces.service=unit")) {
            var answer = server.post("/v1/completions?secret=query", REQUEST, "traceparent", "00-" + TRACE + "-" + CALLER + "-01", "Authorization", "Bearer top-secret",
                    "X-Request-Id", "mine");
            assertThat(answer.status()).isEqualTo(200);
            id = answer.json().path("id").asText();
            assertThat(answer.header("traceparent")).isNull();
        }
        // Closing sends what is left: nothing is waited for here.
        assertThat(collector.spans).extracting(Collector.Span::name)
                .containsExactlyInAnyOrder("POST /v1/completions", "text_completion " + FakeRuntime.BASE, "adapter", "queue", "prefill", "decode");
        assertThat(collector.spans).extracting(Collector.Span::trace).containsOnly(TRACE);
        var request = collector.span("POST /v1/completions");
        assertThat(request.parent()).isEqualTo(CALLER);
        assertThat(request.kind()).as("server").isEqualTo(2);
        assertThat(request.attributes()).containsEntry("http.response.status_code", "200").containsEntry("http.route", "/v1/completions")
                .containsEntry("http.request.method", "POST").containsEntry("url.path", "/v1/completions").containsEntry("polyphon.request.id", "mine");
        assertThat(request.error()).isFalse();
        var model = collector.span("text_completion " + FakeRuntime.BASE);
        assertThat(model.parent()).isEqualTo(request.id());
        assertThat(model.attributes()).containsEntry("gen_ai.operation.name", "text_completion").containsEntry("gen_ai.provider.name", "polyphon")
                .containsEntry("gen_ai.request.model", FakeRuntime.BASE).containsEntry("gen_ai.response.id", id).containsEntry("gen_ai.usage.input_tokens", "3")
                .containsEntry("gen_ai.usage.output_tokens", "3").containsEntry("polyphon.adapter", "french").containsEntry("polyphon.tenant", "default");
        long at = model.start();
        for (String phase : List.of("adapter", "queue", "prefill", "decode")) {
            var span = collector.span(phase);
            assertThat(span.parent()).isEqualTo(model.id());
            assertThat(span.start()).as("%s begins where the one before ends", phase).isEqualTo(at);
            assertThat(span.end()).isGreaterThanOrEqualTo(at);
            at = span.end();
        }
        assertThat(at).isEqualTo(model.end());
        assertThat(request.start()).isLessThanOrEqualTo(model.start()).isBetween(nanos(before), nanos(Instant.now()));
        assertThat(request.end()).isGreaterThanOrEqualTo(model.end());
        assertThat(collector.resource).containsEntry("service.name", "unit").containsEntry("service.version", Version.TEXT);
        assertThat(collector.keys).containsOnly("letmein");
        for (byte[] message : collector.messages) {
            assertThat(new String(message, StandardCharsets.ISO_8859_1)).doesNotContain("alpha").doesNotContain("secret").doesNotContain("letmein");
        }
    }

    private static long nanos(Instant time) {
        return time.getEpochSecond() * 1_000_000_000 + time.getNano();
    }

    @Test
    void beginsOneWhereThereIsNone() {
        var lines = new ListAppender<ILoggingEvent>();
        var log = (Logger) LoggerFactory.getLogger("access.json");
        log.setLevel(Level.INFO);
        lines.start();
        log.addAppender(lines);
        try (var server = server("log.access=true", "log.accessFormat=json")) {
            server.get("/v1/models");
            server.get("/nowhere");
            server.get("/health");
            server.get("/metrics");
        } finally {
            log.detachAppender(lines);
        }
        assertThat(collector.spans).extracting(Collector.Span::name).as("those that probes and scrapers send are left out").containsExactly("GET /v1/models", "GET");
        var span = collector.span("GET /v1/models");
        assertThat(span.parent()).isEmpty();
        assertThat(span.trace()).isNotEqualTo(collector.span("GET").trace());
        var logged = TestServer.parse(lines.list.getFirst().getFormattedMessage());
        assertThat(logged.path("trace_id").asText()).isEqualTo(span.trace());
        assertThat(logged.path("span_id").asText()).isEqualTo(span.id());
    }

    @Test
    void tellsOfFailures() throws IOException {
        try (var server = server()) {
            server.runtime.fault = RuntimeFault.of(RuntimeFault.Kind.INTERNAL, "on purpose");
            assertThat(server.post("/v1/completions", REQUEST).status()).isEqualTo(500);
            server.runtime.fault = null;
            server.runtime.manual = true;
            try (RawClient client = server.raw()) {
                client.post("/v1/chat/completions", "{\"model\":\"" + FakeRuntime.BASE + "\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}");
                eventually("it waits", () -> server.runtime.held.size() == 1);
            }
            eventually("its client's leaving was noticed", () -> server.runtime.running.get() == 0);
        }
        var failed = collector.span("text_completion " + FakeRuntime.BASE);
        assertThat(failed.attributes()).containsEntry("error.type", "failed");
        assertThat(failed.error()).isTrue();
        assertThat(collector.span("POST /v1/completions").attributes()).containsEntry("error.type", "500");
        assertThat(collector.span("POST /v1/completions").error()).isTrue();
        var left = collector.span("chat " + FakeRuntime.BASE);
        assertThat(left.attributes()).containsEntry("error.type", "cancelled");
        assertThat(left.error()).isFalse();
        assertThat(collector.span("POST /v1/chat/completions").attributes()).containsEntry("error.type", "cut").doesNotContainKey("http.response.status_code");
    }

    @Test
    void tellsOfCallsOfGrpc() {
        try (var server = server(); var client = new GrpcClient(server.port())) {
            client.infer(GrpcClient.request(FakeRuntime.BASE, "to be"));
        }
        var call = collector.spans.stream().filter(span -> span.attributes().containsKey("rpc.system.name")).findFirst().orElseThrow();
        assertThat(call.attributes()).containsEntry("rpc.response.status_code", "OK").containsEntry("url.path", "/inference.GRPCInferenceService/ModelInfer");
        assertThat(collector.span("text_completion " + FakeRuntime.BASE).parent()).isEqualTo(call.id());
    }

    @Test
    void recordsWhatIsSampled() {
        try (var server = server("traces.sample=0")) {
            server.post("/v1/completions", REQUEST);
            server.post("/v1/completions", REQUEST, "traceparent", "00-" + TRACE + "-" + CALLER + "-01");
        }
        assertThat(collector.spans).isNotEmpty().extracting(Collector.Span::trace).containsOnly(TRACE);
        collector.spans.clear();
        try (var server = server()) {
            server.post("/v1/completions", REQUEST, "traceparent", "00-" + TRACE + "-" + CALLER + "-00");
        }
        assertThat(collector.spans).isEmpty();
    }

    @Test
    void countsWhatCannotBeSent() {
        collector.status = 400;
        try (var server = server("traces.queue=6")) {
            for (int i = 0; i < 2; i++) {
                assertThat(server.post("/v1/completions", REQUEST).status()).isEqualTo(200);
            }
            // Six fill the queue, which has them sent at once; on a slow machine more are sent in time.
            eventually("the first are given up", () -> Double.parseDouble(counted(server, "failed")) >= 6);
            assertThat(counted(server, "sent")).isEqualTo("0.0");
            collector.status = 200;
            eventually("they come through again", () -> {
                server.post("/v1/completions", REQUEST);
                return !counted(server, "sent").equals("0.0");
            });
        }
    }

    @Test
    void dropsWhatWaitsTooLong() {
        collector.gate = new CountDownLatch(1);
        try (var server = server("traces.queue=8", "traces.timeout=30s")) {
            for (int i = 0; i < 10; i++) {
                assertThat(server.post("/v1/completions", REQUEST).status()).isEqualTo(200);
            }
            eventually("the rest is dropped", () -> counted(server, "dropped").equals("52.0"));
            collector.gate.countDown();
            eventually("the others arrive", () -> collector.spans.size() == 8);
        }
    }

    @Test
    void doesNotHoldUpTheEnd() {
        collector.gate = new CountDownLatch(1);
        long start;
        try (var server = server("traces.timeout=200ms")) {
            server.post("/v1/completions", REQUEST);
            start = System.nanoTime();
        }
        assertThat(Duration.ofNanos(System.nanoTime() - start)).isLessThan(Duration.ofSeconds(20));
        assertThat(collector.spans).isEmpty();
    }

    @Test
    void isOffUnlessAskedFor() {
        try (var server = new TestServer("metrics.jvm=false")) {
            assertThat(server.post("/v1/completions", REQUEST).status()).isEqualTo(200);
            assertThat(counted(server, "sent")).isEqualTo("0.0");
        }
        assertThatThrownBy(() -> new TestServer("traces.endpoint=nowhere")).isInstanceOf(ConfigException.class).hasMessageContaining("traces.endpoint");
        assertThatThrownBy(() -> new TestServer("traces.headers=hush hush")).isInstanceOf(ConfigException.class).hasMessageContaining("traces.headers").message().doesNotContain("hush");
    }
}
