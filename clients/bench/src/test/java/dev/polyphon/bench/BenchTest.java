package dev.polyphon.bench;

import static org.assertj.core.api.Assertions.assertThat;

import com.sun.net.httpserver.HttpServer;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The command against a small server that counts, streams, and fails on demand. */
class BenchTest {
    private final List<String> bodies = Collections.synchronizedList(new ArrayList<>());
    private final AtomicInteger running = new AtomicInteger();
    private final AtomicInteger most = new AtomicInteger();
    private HttpServer server;
    private String answer = stream(3);
    private int status = 200;
    private String out;
    private String err;

    @BeforeEach
    void start() throws IOException {
        server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.setExecutor(Executors.newVirtualThreadPerTaskExecutor());
        server.createContext("/v1/models", e -> {
            byte[] list = "{\"data\":[{\"id\":\"big\"},{\"id\":\"a\",\"parent\":\"big\"},{\"id\":\"b\",\"parent\":\"big\"}]}".getBytes(StandardCharsets.UTF_8);
            e.sendResponseHeaders(200, list.length);
            e.getResponseBody().write(list);
            e.close();
        });
        server.createContext("/v1/completions", e -> {
            bodies.add(new String(e.getRequestBody().readAllBytes(), StandardCharsets.UTF_8));
            most.accumulateAndGet(running.incrementAndGet(), Math::max);
            try {
                Thread.sleep(5);
            } catch (InterruptedException ignored) {
                Thread.currentThread().interrupt();
            }
            running.decrementAndGet();
            e.sendResponseHeaders(status, 0);
            e.getResponseBody().write(answer.getBytes(StandardCharsets.UTF_8));
            e.close();
        });
        server.start();
    }

    @AfterEach
    void stop() {
        server.stop(0);
    }

    private static String stream(int tokens) {
        return "data: {\"choices\":[{\"text\":\"x\"}]}\r\n\r\n".repeat(tokens)
                + ": a comment\n\ndata: {\"choices\":[],\"usage\":{\"completion_tokens\":" + tokens + "}}\n\ndata: [DONE]\n\n";
    }

    private int bench(String... options) {
        var o = new ByteArrayOutputStream();
        var e = new ByteArrayOutputStream();
        String[] args = new String[options.length + 3];
        System.arraycopy(options, 0, args, 3, options.length);
        args[0] = "http://127.0.0.1:" + server.getAddress().getPort();
        args[1] = "--warmup";
        args[2] = "0";
        int status = Main.run(new PrintStream(o, true, StandardCharsets.UTF_8), new PrintStream(e, true, StandardCharsets.UTF_8), args);
        out = o.toString(StandardCharsets.UTF_8);
        err = e.toString(StandardCharsets.UTF_8);
        return status;
    }

    @Test
    void aClosedLoopSendsEverythingAndNeverMoreAtOnce() {
        assertThat(bench("--requests", "40", "--concurrency", "4", "--adapters", "2")).as(() -> out + err).isZero();
        assertThat(bodies).hasSize(40);
        assertThat(most.get()).isBetween(1, 4);
        assertThat(bodies).filteredOn(b -> b.contains("\"model\":\"a\"")).hasSize(20);
        assertThat(bodies).filteredOn(b -> b.contains("\"model\":\"b\"")).hasSize(20);
        assertThat(bodies).allMatch(b -> b.contains("\"ignore_eos\":true") && b.contains("\"max_tokens\":64"));
    }

    @Test
    void anOpenLoopDoesNotWaitForAnswers() {
        assertThat(bench("--requests", "30", "--rate", "100000")).isZero();
        assertThat(bodies).hasSize(30);
        assertThat(most.get()).isGreaterThan(1);
    }

    @Test
    void adaptersAreNamedAsTheServerWantsThem() {
        assertThat(bench("--requests", "2", "--adapters", "b,a", "--adapter-field", "llamacpp")).isZero();
        assertThat(bodies).anyMatch(b -> b.contains("\"lora\":[{\"id\":1,\"scale\":1.0}]"));
        bodies.clear();
        assertThat(bench("--requests", "1", "--adapters", "b", "--adapter-field", "adapter_id")).isZero();
        assertThat(bodies.getFirst()).contains("\"model\":\"big\"").contains("\"adapter_id\":\"b\"");
    }

    @Test
    void failuresAreCountedAndTheFirstIsShown() {
        status = 429;
        answer = "{\"error\": {\"message\": \"too busy\"}}";
        assertThat(bench("--requests", "5")).isEqualTo(1);
        assertThat(out).contains("5  first: 429").contains("too busy");
        status = 200;
        answer = "data: {\"choices\":[{\"text\":\"x\"}]}\n\n";
        assertThat(bench("--requests", "1")).isEqualTo(1);
        assertThat(out).contains("without [DONE] after 1 chunks");
        answer = "data: {\"error\":{\"message\":\"gone\"}}\n\n";
        assertThat(bench("--requests", "1")).isEqualTo(1);
        assertThat(out).contains("gone");
        answer = "data: [DONE]\n\n";
        assertThat(bench("--requests", "1")).isEqualTo(1);
        assertThat(out).contains("without a token");
    }

    @Test
    void usageIsChecked() {
        assertThat(bench("--workload", "W9")).isEqualTo(2);
        assertThat(err).contains("W3b").contains("all");
        assertThat(bench("--workload", "W4")).isEqualTo(2);
        assertThat(err).contains("W4 needs 16 adapters; the server has 2 (a, b)");
        assertThat(bench("--requests", "0")).isEqualTo(2);
        assertThat(err).contains("--requests is 0; it must be 1 or more");
        server.stop(0);
        assertThat(bench()).isEqualTo(2);
        assertThat(err).contains("no answer from http://127.0.0.1:");
    }

    @Test
    void reportsAreWrittenAsJson(@TempDir Path folder) throws IOException {
        Path file = folder.resolve("r.json");
        assertThat(bench("--workload", "W1,w6", "--json", file.toString())).isZero();
        assertThat(Files.readString(file)).contains("\"tokens\" : 9", "\"tokens\" : 12", "\"errors\" : 0", "\"p95\"");
        assertThat(out.lines()).hasSize(4);
    }
}
