package dev.polyphon.server.cli.batch;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.JsonNode;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import dev.polyphon.client.PolyphonClient;
import dev.polyphon.server.TestServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Runs against a server that answers as the test wants. */
class BatchRunTest {
    private static final BatchSettings SETTINGS =
            new BatchSettings(4, 3, Duration.ofSeconds(60), Duration.ofMillis(4), Duration.ofMillis(20), Duration.ofSeconds(30));
    private static final BatchRun.Listener SILENT = new BatchRun.Listener() {
        @Override
        public void started(int done, int total) {}

        @Override
        public void at(int done, JsonNode line) {}
    };

    /** What the server does with the n-th try of the request that has this model. */
    @FunctionalInterface
    private interface Behaviour {
        void answer(HttpExchange exchange, String model, int tries) throws Exception;
    }

    @TempDir
    private Path folder;
    private final ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor();
    private final Map<String, AtomicInteger> tries = new ConcurrentHashMap<>();
    private final List<String> asked = new CopyOnWriteArrayList<>();
    private volatile Behaviour behaviour = (exchange, model, _) -> respond(exchange, 200, "{\"model\":\"" + model + "\",\"usage\":{\"prompt_tokens\":2,\"completion_tokens\":3}}");
    private HttpServer server;
    private PolyphonClient client;
    private Path in;
    private Path out;

    @BeforeEach
    void start() throws IOException {
        server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.setExecutor(threads);
        server.createContext("/", exchange -> {
            try (exchange) {
                String model = TestServer.parse(new String(exchange.getRequestBody().readAllBytes(), StandardCharsets.UTF_8)).path("model").asText();
                asked.add(exchange.getRequestURI() + " " + model);
                behaviour.answer(exchange, model, tries.computeIfAbsent(model, _ -> new AtomicInteger()).incrementAndGet());
            } catch (IOException e) {
                throw e;
            } catch (Exception e) {
                throw new IOException(e);
            }
        });
        server.start();
        client = new PolyphonClient(URI.create("http://127.0.0.1:" + server.getAddress().getPort()));
        in = folder.resolve("in.jsonl");
        out = folder.resolve("out.jsonl");
    }

    @AfterEach
    void stop() {
        client.close();
        server.stop(0);
        threads.shutdownNow();
    }

    private static void respond(HttpExchange exchange, int status, String body) throws IOException {
        exchange.getResponseHeaders().add("X-Request-Id", "req-" + status);
        byte[] bytes = body.getBytes(StandardCharsets.UTF_8);
        exchange.sendResponseHeaders(status, bytes.length == 0 ? -1 : bytes.length);
        exchange.getResponseBody().write(bytes);
    }

    private static String request(String id) {
        return "{\"custom_id\":\"" + id + "\",\"method\":\"POST\",\"url\":\"/v1/completions\",\"body\":{\"model\":\"" + id + "\",\"prompt\":\"a\"}}";
    }

    private void requests(String... ids) throws IOException {
        Files.write(in, List.of(ids).stream().map(BatchRunTest::request).toList());
    }

    private BatchRun.Summary run() throws Exception {
        return run(SETTINGS, false);
    }

    private BatchRun.Summary run(BatchSettings settings, boolean again) throws Exception {
        try (var input = BatchInput.open(in); var output = BatchOutput.open(out, input.ids(), again)) {
            return new BatchRun(client, input, output, settings, SILENT).run();
        }
    }

    private Map<String, JsonNode> lines() throws IOException {
        return Files.readAllLines(out).stream().map(TestServer::parse).collect(Collectors.toMap(line -> line.path("custom_id").asText(), line -> line));
    }

    @Test
    void writesOpenAisFormat() throws Exception {
        Files.writeString(in, request("1") + "\n\n" + request("zwei é").replace("/v1/completions", "/v1/embeddings") + "\n");
        BatchRun.Summary summary = run();
        assertThat(summary).isEqualTo(new BatchRun.Summary(2, 0, 2, 0, 0, 4, 6));
        assertThat(asked).containsExactlyInAnyOrder("/v1/completions 1", "/v1/embeddings zwei é");
        JsonNode line = lines().get("zwei é");
        assertThat(line.path("id").asText()).matches("batch_req_[0-9a-f]{32}").isNotEqualTo(lines().get("1").path("id").asText());
        assertThat(line.path("response").toString()).isEqualTo(
                "{\"status_code\":200,\"request_id\":\"req-200\",\"body\":{\"model\":\"zwei é\",\"usage\":{\"prompt_tokens\":2,\"completion_tokens\":3}}}");
        assertThat(line.has("error")).isTrue();
        assertThat(line.path("error").isNull()).isTrue();
    }

    @Test
    void triesAgainWhatTheMomentWasWrongFor() throws Exception {
        behaviour = (exchange, model, tries) -> {
            switch (model) {
                case "busy" -> respond(exchange, tries < 3 ? 429 : 200, "{}");
                case "broken" -> respond(exchange, tries < 3 ? 502 : 200, "<html>bad gateway</html>");
                case "cut" -> {
                    if (tries < 3) {
                        exchange.sendResponseHeaders(200, 1000);
                        exchange.getResponseBody().write('{');
                        throw new IOException("cut on purpose");
                    }
                    respond(exchange, 200, "{}");
                }
                case "bad" -> respond(exchange, 400, "{\"error\":{\"message\":\"too long\"}}");
                case "hopeless" -> respond(exchange, 503, "");
                default -> throw new AssertionError(model);
            }
        };
        requests("busy", "broken", "cut", "bad", "hopeless");
        BatchRun.Summary summary = run();
        assertThat(summary.failed()).isEqualTo(2);
        var counts = tries.entrySet().stream().collect(Collectors.toMap(Map.Entry::getKey, entry -> entry.getValue().get()));
        assertThat(counts).isEqualTo(Map.of("busy", 3, "broken", 3, "cut", 3, "bad", 1, "hopeless", 4));
        assertThat(summary.retries()).isEqualTo(9);
        assertThat(lines().get("broken").at("/response/body").asText()).isEqualTo("<html>bad gateway</html>");
        assertThat(lines().get("bad").at("/response/status_code").asInt()).isEqualTo(400);
        assertThat(lines().get("bad").at("/response/body/error/message").asText()).isEqualTo("too long");
        assertThat(lines().get("hopeless").at("/response/status_code").asInt()).isEqualTo(503);
        assertThat(lines().get("hopeless").at("/response/body").isNull()).isTrue();
    }

    @Test
    void tellsOfAConnectionThatIsLostEachTime() throws Exception {
        behaviour = (exchange, _, _) -> {
            exchange.sendResponseHeaders(200, 1000);
            throw new IOException("cut on purpose");
        };
        requests("cut");
        assertThat(run().failed()).isEqualTo(1);
        assertThat(lines().get("cut").path("response").isNull()).isTrue();
        assertThat(lines().get("cut").at("/error/code").asText()).isEqualTo("connection_lost");
        assertThat(lines().get("cut").at("/error/message").asText()).isNotEmpty();
    }

    @ParameterizedTest
    @ValueSource(ints = {429, 503})
    void waitsAsLongAsItIsToldTo(int status) throws Exception {
        var times = new CopyOnWriteArrayList<Long>();
        behaviour = (exchange, model, tries) -> {
            times.add(System.nanoTime());
            if (model.equals("1") && tries == 1) {
                exchange.getResponseHeaders().add("Retry-After", "1");
                respond(exchange, status, "{}");
            } else {
                respond(exchange, 200, "{}");
            }
        };
        requests("1", "2");
        run(new BatchSettings(1, 3, Duration.ofSeconds(60), Duration.ZERO, Duration.ZERO, Duration.ofSeconds(30)), false);
        assertThat(times).hasSize(3);
        assertThat(times.get(1) - times.get(0)).isGreaterThanOrEqualTo(Duration.ofMillis(950).toNanos());
    }

    @Test
    void failsWhatIsToldToWaitTooLong() throws Exception {
        behaviour = (exchange, _, _) -> {
            exchange.getResponseHeaders().add("Retry-After", "31");
            respond(exchange, 429, "{}");
        };
        requests("1");
        assertThat(run().failed()).isEqualTo(1);
        assertThat(tries.get("1").get()).isEqualTo(1);
    }

    /** Refused more often than there are retries, but each time others are answered meanwhile. */
    @Test
    void othersTurnsAreNoFailures() throws Exception {
        var taken = new AtomicInteger();
        var ids = new ArrayList<>(List.of("patient"));
        IntStream.range(0, 40).forEach(i -> ids.add("other" + i));
        behaviour = (exchange, model, tries) -> {
            if (model.equals("patient") && tries <= 6) {
                int before = taken.get();
                long end = System.nanoTime() + Duration.ofSeconds(20).toNanos();
                while (taken.get() < before + 2 && System.nanoTime() < end) {
                    Thread.sleep(1);
                }
                respond(exchange, 429, "{}");
            } else {
                respond(exchange, 200, "{}");
                taken.incrementAndGet();
                Thread.sleep(5);
            }
        };
        requests(ids.toArray(String[]::new));
        run(new BatchSettings(2, 1, Duration.ofSeconds(60), Duration.ofMillis(1), Duration.ofMillis(1), Duration.ofSeconds(30)), false);
        assertThat(lines().get("patient").at("/response/status_code").asInt()).isEqualTo(200);
        assertThat(tries.get("patient").get()).isEqualTo(7);
    }

    @Test
    void keepsToItsConcurrency() throws Exception {
        var now = new AtomicInteger();
        var most = new AtomicInteger();
        var full = new CountDownLatch(4);
        behaviour = (exchange, _, _) -> {
            most.accumulateAndGet(now.incrementAndGet(), Math::max);
            full.countDown();
            assertThat(full.await(20, TimeUnit.SECONDS)).isTrue();
            now.decrementAndGet();
            respond(exchange, 200, "{}");
        };
        requests(IntStream.range(0, 40).mapToObj(Integer::toString).toArray(String[]::new));
        run();
        assertThat(most.get()).isEqualTo(4);
        assertThat(lines()).hasSize(40);
    }

    @Test
    void goesOnWhereItWas() throws Exception {
        requests("1", "2", "3");
        behaviour = (exchange, model, _) -> respond(exchange, model.equals("2") ? 400 : 200, "{}");
        run();
        List<String> before = Files.readAllLines(out);
        requests("1", "2", "3", "4");
        asked.clear();
        BatchRun.Summary summary = run();
        assertThat(summary.before()).isEqualTo(3);
        assertThat(summary.failed()).isEqualTo(1);
        assertThat(asked).containsExactly("/v1/completions 4");
        assertThat(Files.readAllLines(out)).startsWith(before.toArray(String[]::new)).hasSize(4);
        asked.clear();
        behaviour = (exchange, _, _) -> respond(exchange, 200, "{}");
        assertThat(run(SETTINGS, true).failed()).isZero();
        assertThat(asked).containsExactly("/v1/completions 2");
        assertThat(Files.readAllLines(out)).hasSize(4);
        assertThat(lines().get("2").at("/response/status_code").asInt()).isEqualTo(200);
        assertThat(folder.toFile().list()).containsExactlyInAnyOrder("in.jsonl", "out.jsonl");
    }

    @Test
    void forgetsHalfALastLine() throws Exception {
        requests("1", "2");
        run();
        String whole = Files.readString(out);
        Files.writeString(out, whole.substring(0, whole.length() - 20));
        asked.clear();
        run();
        assertThat(asked).hasSize(1);
        assertThat(lines()).hasSize(2);
        assertThat(Files.readString(out)).endsWith("\n");
    }

    @Test
    void anInterruptLeavesAFileToGoOnWith() throws Exception {
        var hold = new CountDownLatch(1);
        behaviour = (exchange, model, _) -> {
            if (model.equals("held")) {
                hold.await();
            }
            respond(exchange, 200, "{}");
        };
        requests("1", "2", "held", "4");
        var written = new CountDownLatch(3);
        var runner = Thread.currentThread();
        threads.execute(() -> {
            try {
                written.await();
                runner.interrupt();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        });
        var listener = new BatchRun.Listener() {
            @Override
            public void started(int done, int total) {}

            @Override
            public void at(int done, JsonNode line) {
                written.countDown();
            }
        };
        try (var input = BatchInput.open(in); var output = BatchOutput.open(out, input.ids(), false)) {
            assertThatThrownBy(() -> new BatchRun(client, input, output, SETTINGS, listener).run()).isInstanceOf(InterruptedException.class);
        }
        assertThat(Thread.interrupted()).isFalse();
        assertThat(lines()).containsOnlyKeys("1", "2", "4");
        hold.countDown();
        asked.clear();
        run();
        assertThat(asked).containsExactly("/v1/completions held");
        assertThat(lines()).hasSize(4);
    }

    @Test
    void endsWhenTheServerIsGoneOrTakesNoKey() throws Exception {
        requests("1");
        behaviour = (exchange, _, _) -> respond(exchange, 401, "{\"error\":{\"message\":\"Incorrect API key\"}}");
        assertThatThrownBy(this::run).hasMessageContaining("Incorrect API key");
        server.stop(0);
        assertThatThrownBy(this::run).hasMessageContaining("nothing answers");
        assertThat(out).isEmptyFile();
    }

    @Test
    void saysWhichLinesAreNoRequests() throws Exception {
        Files.write(in, List.of(request("1"), request("1"), "{", request("2").replace("POST", "GET"), request("3").replace("/v1/completions", "/v1/models"),
                request("4").replace("\"prompt\"", "\"stream\":true,\"prompt\""), "{\"custom_id\":7}", request("5") + "]"));
        assertThatThrownBy(this::run).isInstanceOf(IOException.class)
                .hasMessageContaining("in.jsonl:2: the custom_id '1' was there before").hasMessageContaining("in.jsonl:3: no JSON")
                .hasMessageContaining("in.jsonl:4: 'method' must be POST").hasMessageContaining("in.jsonl:5: 'url' must be one of /v1/chat/completions, /v1/completions, /v1/embeddings, found '/v1/models'")
                .hasMessageContaining("in.jsonl:6: 'body' must not ask for a stream").hasMessageContaining("in.jsonl:7: 'custom_id'").hasMessageContaining("in.jsonl:8: no JSON");
        assertThat(asked).isEmpty();
        assertThat(out).doesNotExist();
        Files.writeString(in, "\n");
        assertThatThrownBy(this::run).hasMessageContaining("has no requests");
        Files.write(in, new byte[] {'"', (byte) 0xff, '"'});
        assertThatThrownBy(this::run).hasMessageContaining("is not UTF-8");
        Files.delete(in);
        assertThatThrownBy(this::run).hasMessageContaining("no such file");
    }

    @Test
    void leavesOthersFilesAlone() throws Exception {
        requests("1");
        for (String foreign : List.of("my notes\n", "{\"custom_id\":\"1\"}\n", "{\"custom_id\":\"9\",\"response\":null,\"error\":{}}\n")) {
            Files.writeString(out, foreign);
            assertThatThrownBy(this::run).isInstanceOf(IOException.class).hasMessageContaining("out.jsonl:1: ");
            assertThat(out).hasContent(foreign.strip());
        }
        assertThatThrownBy(() -> BatchOutput.open(in, java.util.Set.of("1"), true)).hasMessageContaining("in.jsonl:1: no line of a batch's output");
        Files.delete(out);
        try (var input = BatchInput.open(in); var _ = BatchOutput.open(out, input.ids(), false)) {
            assertThatThrownBy(this::run).hasMessageContaining("being written by another run");
        }
        assertThat(asked).isEmpty();
    }
}
