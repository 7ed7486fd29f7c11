package dev.polyphon.server.openai;

import static dev.polyphon.server.Eventually.eventually;
import static org.assertj.core.api.Assertions.assertThat;

import dev.polyphon.runtime.FinishReason;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.server.FakeRuntime;
import dev.polyphon.server.LeakCheck;
import dev.polyphon.server.RawClient;
import dev.polyphon.server.TestServer;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** What happens while an answer is under way: the test plays the runtime. */
@ExtendWith(LeakCheck.class)
class StreamingTest {
    private static final String STREAM = "{\"model\":\"french\",\"prompt\":\"x\",\"stream\":true}";
    private static final String WHOLE = "{\"model\":\"french\",\"prompt\":\"x\"}";

    private TestServer server;

    @BeforeEach
    void start() {
        start("server.writeTimeout=300ms");
    }

    private void start(String... settings) {
        if (server != null) {
            server.close();
        }
        server = new TestServer(settings);
        server.runtime.manual = true;
    }

    @AfterEach
    void stop() {
        server.close();
    }

    private FakeRuntime.Held held() throws InterruptedException {
        return server.runtime.held.poll(20, TimeUnit.SECONDS);
    }

    /** The next event's data. */
    private static String event(RawClient client) throws IOException {
        var chunk = new StringBuilder();
        while (chunk.isEmpty() || !chunk.toString().endsWith("\n\n")) {
            chunk.append(new String(client.exactly(Integer.parseInt(client.line(), 16)), StandardCharsets.UTF_8));
            client.line();
        }
        return chunk.substring("data: ".length(), chunk.length() - 2);
    }

    @Test
    void sendsEachTokenAtOnce() throws Exception {
        try (var client = server.raw()) {
            client.post("/v1/completions", STREAM);
            var generation = held();
            generation.sink().started(1, 0);
            for (String word : List.of("one", " two", " \"q\"\n\u0001é😀")) {
                generation.token(0, 1, word);
                if (word.equals("one")) {
                    assertThat(client.line()).isEqualTo("HTTP/1.1 200 OK");
                    assertThat(client.headers()).containsEntry("content-type", "text/event-stream; charset=utf-8").containsEntry("cache-control", "no-cache");
                }
                assertThat(TestServer.parse(event(client)).at("/choices/0/text").asText()).isEqualTo(word);
            }
            generation.token(0, 1, "");
            generation.sink().finished(0, "held back", FinishReason.STOP, 4);
            var rest = event(client).split("\n\ndata: ");
            assertThat(TestServer.parse(rest[0]).at("/choices/0/text").asText()).isEqualTo("held back");
            assertThat(rest.length == 2 ? rest[1] : event(client)).isEqualTo("[DONE]");
            assertThat(client.line()).isEqualTo("0");
        }
    }

    @Test
    void sendsManyTokensTogetherInOrder() throws Exception {
        try (var client = server.raw()) {
            client.post("/v1/completions", STREAM);
            var generation = held();
            generation.sink().started(1, 0);
            int tokens = 5000;
            for (int i = 0; i < tokens; i++) {
                generation.token(0, i, i + ",");
            }
            generation.sink().finished(0, "", FinishReason.LENGTH, tokens);
            var answer = client.answer();
            var text = new StringBuilder();
            var expected = new StringBuilder();
            for (String event : answer.body().split("\n\n")) {
                if (!event.equals("data: [DONE]")) {
                    text.append(TestServer.parse(event.substring(6)).at("/choices/0/text").asText());
                }
            }
            for (int i = 0; i < tokens; i++) {
                expected.append(i).append(',');
            }
            assertThat(text.toString()).isEqualTo(expected.toString());
        }
    }

    @Test
    void cancelsWhenTheClientLeaves() throws Exception {
        for (String body : new String[] {STREAM, WHOLE, STREAM.replace("\"x\"", "[\"x\",\"y\"]")}) {
            var generations = new ArrayList<FakeRuntime.Held>();
            try (var client = server.raw()) {
                client.post("/v1/completions", body);
                generations.add(held());
                if (body.contains("[")) {
                    generations.add(held());
                }
                generations.getFirst().sink().started(1, 0);
                generations.getFirst().token(0, 1, "a");
            }
            for (var generation : generations) {
                generation.cancelled().get(20, TimeUnit.SECONDS);
                // The runtime may still say something before it notices.
                generation.token(0, 1, "b");
                generation.sink().finished(0, "", FinishReason.CANCELLED, 2);
            }
        }
        eventually("counted", () -> server.get("/metrics").body()
                .contains("polyphon_requests_total{adapter=\"french\",model=\"org/base-135m\",outcome=\"cancelled\"} 3.0"));
        assertThat(server.runtime.running).hasValue(0);
    }

    @Test
    void tellsAFaultInMidStream() throws Exception {
        try (var client = server.raw()) {
            client.post("/v1/completions", STREAM.replace("\"x\"", "[\"x\",\"y\"]"));
            var generation = held();
            var other = held();
            generation.sink().started(1, 0);
            generation.token(0, 1, "a");
            generation.sink().failed(RuntimeFault.of(RuntimeFault.Kind.INTERNAL, "the step failed"));
            var answer = client.answer();
            assertThat(answer.status()).isEqualTo(200);
            var events = answer.body().split("\n\n");
            assertThat(events).hasSize(2);
            assertThat(TestServer.parse(events[1].substring(6)).at("/error/message").asText()).isEqualTo("the step failed");
            assertThat(other.isCancelled()).as("the other prompt's generation").isTrue();
            // The connection goes on.
            assertThat(client.get("/v1/models").answer().status()).isEqualTo(200);
        }
    }

    @Test
    void answersAFaultBeforeTheFirstTokenWithItsStatus() throws Exception {
        try (var client = server.raw()) {
            client.post("/v1/completions", STREAM);
            var generation = held();
            generation.sink().started(1, 0);
            generation.sink().failed(RuntimeFault.of(RuntimeFault.Kind.ADAPTER_UNUSABLE, "no"));
            assertThat(client.answer().status()).isEqualTo(422);
        }
    }

    @Test
    void disconnectsASlowReaderAndCancels() throws Exception {
        try (var client = new RawClient(server.port(), 4096)) {
            client.post("/v1/completions", STREAM);
            var generation = held();
            generation.sink().started(1, 0);
            String text = "x".repeat(10_000);
            for (int i = 0; i < 100_000 && !generation.isCancelled(); i++) {
                generation.token(0, 1, text);
                if (i > 1000) {
                    Thread.sleep(1);
                }
            }
            assertThat(generation.isCancelled()).isTrue();
        }
        assertThat(server.get("/metrics").body()).contains("polyphon_http_slow_clients_total{kind=\"reader\"} 1.0");
    }

    /** A frame of HTTP/2 (RFC 9113, section 4.1). */
    private static byte[] frame(int type, int flags, int stream, byte[] payload) {
        return ByteBuffer.allocate(9 + payload.length).put((byte) (payload.length >> 16)).putShort((short) payload.length).put((byte) type).put((byte) flags)
                .putInt(stream).put(payload).array();
    }

    /** A field as a literal that is not indexed (RFC 7541, section 6.2.2). */
    private static byte[] field(String name, String value) {
        return ByteBuffer.allocate(3 + name.length() + value.length()).put((byte) 0).put((byte) name.length()).put(name.getBytes(StandardCharsets.US_ASCII))
                .put((byte) value.length()).put(value.getBytes(StandardCharsets.US_ASCII)).array();
    }

    @Test
    void resetsAStreamOfHttp2ThatIsGivenNoWindow() throws Exception {
        try (var client = server.raw()) {
            var request = new ByteArrayOutputStream();
            request.writeBytes("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".getBytes(StandardCharsets.US_ASCII));
            request.writeBytes(frame(4, 0, 0, new byte[] {0, 4, 0, 0, 0, 100})); // SETTINGS_INITIAL_WINDOW_SIZE = 100
            var fields = new ByteArrayOutputStream();
            for (String[] field : new String[][] {{":method", "POST"}, {":scheme", "http"}, {":path", "/v1/completions"}, {":authority", "x"},
                {"content-type", "application/json"}}) {
                fields.writeBytes(field(field[0], field[1]));
            }
            request.writeBytes(frame(1, 4, 1, fields.toByteArray())); // HEADERS, END_HEADERS
            request.writeBytes(frame(0, 1, 1, STREAM.getBytes(StandardCharsets.US_ASCII))); // DATA, END_STREAM
            client.send(request.toByteArray());
            var generation = held();
            generation.sink().started(1, 0);
            for (int i = 0; i < 1000; i++) {
                generation.token(0, 1, "x".repeat(100));
            }
            int sent = 0;
            while (true) {
                ByteBuffer head = ByteBuffer.wrap(client.exactly(9));
                int length = head.getInt() >>> 8;
                int type = head.get(3);
                client.exactly(length);
                if (type == 0) {
                    sent += length;
                } else if (type == 3) {
                    break; // RST_STREAM
                }
            }
            assertThat(sent).as("what the client had room for").isEqualTo(100);
            generation.cancelled().get(20, TimeUnit.SECONDS);
            // The connection is as good as before for other streams.
            client.send(frame(6, 0, 0, new byte[8])); // PING
            assertThat(client.exactly(9)[3]).as("answered with a PING").isEqualTo((byte) 6);
        }
        eventually("counted", () -> server.get("/metrics").body().contains("polyphon_http_slow_clients_total{kind=\"reader\"} 1.0"));
    }

    @Test
    void keepsBackWhatASlowReaderHasNoRoomFor() throws Exception {
        start("server.writeTimeout=20s");
        try (var client = new RawClient(server.port(), 4096)) {
            client.post("/v1/completions", STREAM);
            var generation = held();
            generation.sink().started(1, 0);
            int tokens = 4000;
            for (int i = 0; i < tokens; i++) {
                generation.token(0, 1, "y".repeat(5000));
            }
            generation.sink().finished(0, "", FinishReason.STOP, tokens);
            Thread.sleep(100);
            // It reads late, and gets everything.
            long length = 0;
            for (String event : client.answer().body().split("\n\n")) {
                if (!event.equals("data: [DONE]")) {
                    length += TestServer.parse(event.substring(6)).at("/choices/0/text").asText().length();
                }
            }
            assertThat(length).isEqualTo(tokens * 5000L);
        }
    }

    @Test
    void answersPipelinedCompletionsInOrder() throws Exception {
        server.runtime.manual = false;
        try (var client = server.raw()) {
            for (int i = 0; i < 20; i++) {
                client.post("/v1/completions", "{\"model\":\"french\",\"prompt\":\"p" + i + "\",\"stream\":" + (i % 2 == 0) + "}");
            }
            for (int i = 0; i < 20; i++) {
                assertThat(client.answer().body()).contains("french:p" + i + "\"");
            }
        }
    }

    @Test
    void answersLargeRequestsToo() {
        server.runtime.manual = false;
        var answer = server.post("/v1/completions", "{\"model\":\"french\",\"prompt\":\"" + "word ".repeat(20_000) + "\",\"max_tokens\":1}");
        assertThat(answer.json().at("/usage/prompt_tokens").asInt()).isEqualTo(20_001);
        assertThat(server.post("/v1/completions", "{\"model\":5,\"prompt\":\"" + "word ".repeat(20_000) + "\"}").status()).isEqualTo(400);
    }

    @Test
    void finishesWhatIsUnderWayWhenDraining() throws Exception {
        try (var busy = server.raw()) {
            busy.post("/v1/completions", STREAM);
            var generation = held();
            generation.sink().started(1, 0);
            var drained = CompletableFuture.supplyAsync(() -> {
                try {
                    return server.server.drain();
                } catch (InterruptedException e) {
                    throw new IllegalStateException(e);
                }
            });
            eventually("no further connections", () -> {
                try (var late = server.raw()) {
                    return false;
                } catch (IOException e) {
                    return true;
                }
            });
            generation.token(0, 1, "a");
            generation.sink().finished(0, "", FinishReason.STOP, 1);
            assertThat(busy.answer().body()).endsWith("data: [DONE]\n\n");
            assertThat(busy.closed()).isTrue();
            assertThat(drained.get(20, TimeUnit.SECONDS)).isTrue();
        }
    }

    @Test
    void isNotReadyWhileDraining() throws Exception {
        start("server.drainDelay=20s");
        assertThat(server.get("/health/ready").status()).isEqualTo(200);
        var draining = Thread.ofVirtual().start(() -> {
            try {
                server.server.drain();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        });
        eventually("not ready", () -> server.get("/health/ready").status() == 503);
        assertThat(server.get("/health").status()).isEqualTo(503);
        assertThat(server.get("/health/live").status()).isEqualTo(200);
        assertThat(server.get("/v1/models").status()).isEqualTo(200);
        draining.interrupt();
        draining.join();
    }

    @Test
    void cutsWhatIsLeftAfterTheLimit() throws Exception {
        start("server.drainLimit=50ms");
        try (var client = server.raw()) {
            client.post("/v1/completions", STREAM);
            var generation = held();
            assertThat(server.server.drain()).isFalse();
            server.server.close();
            generation.cancelled().get(20, TimeUnit.SECONDS);
            assertThat(client.closed()).isTrue();
            assertThat(server.runtime.closed).isTrue();
        }
    }
}
