package dev.polyphon.server;

import static dev.polyphon.server.Eventually.eventually;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.polyphon.client.Answer;
import dev.polyphon.client.Message;
import dev.polyphon.client.PolyphonClient;
import dev.polyphon.client.PolyphonException;
import dev.polyphon.client.Request;
import dev.polyphon.runtime.RuntimeFault;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The client for Java, and the commands that use it, against a real server. */
class ClientTest {
    private TestServer server;
    private PolyphonClient client;

    @BeforeEach
    void start() {
        server = new TestServer();
        client = new PolyphonClient(server.uri("/"));
    }

    @AfterEach
    void stop() {
        client.close();
        server.close();
    }

    @Test
    void asksForTheWhole() throws Exception {
        assertThat(client.models()).extracting(model -> model.base() == null ? "" : model.id()).containsExactly("", "french", "german");
        Answer answer = client.ask(new Request.Completion("french", "a b c").with("max_tokens", 2).with("seed", 7));
        assertThat(answer.text()).isEqualTo("french:a b");
        assertThat(answer.finishReason()).isEqualTo("length");
        assertThat(answer.promptTokens()).isEqualTo(3);
        assertThat(answer.completionTokens()).isEqualTo(2);
        assertThat(server.runtime.requests.getFirst().sampling().seed()).hasValue(7);
        var chat = new Request.Chat("german", List.of(Message.system("Be brief."), Message.user("hallo du")));
        assertThat(client.askAsync(chat).get().text()).isEqualTo("german:hallo du");
    }

    @Test
    void streamsPieces() throws Exception {
        var pieces = new ArrayList<String>();
        Answer answer = client.stream(new Request.Chat("french", List.of(Message.user("a b c"))), pieces::add);
        assertThat(pieces).containsExactly("french:a", " b", " c");
        assertThat(answer.text()).isEqualTo("french:a b c");
        assertThat(answer.completionTokens()).isEqualTo(3);
        assertThat(answer.finishReason()).isEqualTo("stop");
        assertThat(answer.id()).startsWith("chatcmpl-");
    }

    @Test
    void tellsWhatTheServerSays() {
        assertThatThrownBy(() -> client.ask(new Request.Completion("nobody", "a"))).isInstanceOfSatisfying(PolyphonException.class, e -> {
            assertThat(e.status()).isEqualTo(404);
            assertThat(e.code()).hasValue("model_not_found");
            assertThat(e).hasMessageContaining("nobody");
        });
        server.runtime.fault = RuntimeFault.overloaded("full", Duration.ofSeconds(3));
        assertThatThrownBy(() -> client.stream(new Request.Completion("french", "a"), _ -> {})).isInstanceOfSatisfying(PolyphonException.class, e -> {
            assertThat(e.status()).isEqualTo(429);
            assertThat(e.retryAfter()).hasValue(Duration.ofSeconds(3));
        });
    }

    @Test
    void aStreamThatFailsMidwaySaysWhy() throws Exception {
        server.runtime.manual = true;
        var pieces = new ArrayList<String>();
        var answer = client.streamAsync(new Request.Completion("french", "a"), pieces::add);
        var held = server.runtime.held.take();
        held.sink().started(1, 0);
        held.token(0, 1, "one");
        eventually("the piece has come", () -> pieces.equals(List.of("one")));
        held.sink().failed(RuntimeFault.of(RuntimeFault.Kind.INTERNAL, "broken"));
        assertThatThrownBy(answer::get).hasCauseInstanceOf(PolyphonException.class);
    }

    @Test
    void cancellingEndsTheRequest() throws Exception {
        server.runtime.manual = true;
        for (boolean streamed : new boolean[] {true, false}) {
            var request = new Request.Completion("french", "a");
            var answer = streamed ? client.streamAsync(request, _ -> {}) : client.askAsync(request);
            var held = server.runtime.held.take();
            held.sink().started(1, 0);
            answer.cancel(true);
            eventually("the generation is cancelled", held::isCancelled);
        }
    }

    @Test
    void readsMetrics() throws Exception {
        client.ask(new Request.Completion("french", "a b c"));
        assertThat(client.metrics().sum("polyphon_tenant_generated_tokens_total")).isEqualTo(3);
        assertThat(client.metrics().sum("polyphon_requests_total", Map.of("adapter", "french", "outcome", "ok"))).isEqualTo(1);
        assertThat(client.metrics().values("polyphon_requests_total", "adapter")).containsExactly("french");
    }

    private record Ran(int status, String out, String err) {}

    private Ran run(String input, String... arguments) {
        var out = new StringWriter();
        var err = new StringWriter();
        var all = new ArrayList<>(List.of(arguments));
        all.addAll(List.of("--url", server.uri("/").toString()));
        var in = System.in;
        System.setIn(new ByteArrayInputStream(input.getBytes(StandardCharsets.UTF_8)));
        try {
            int status = Main.commands().setOut(new PrintWriter(out)).setErr(new PrintWriter(err)).execute(all.toArray(String[]::new));
            return new Ran(status, out.toString().replace("\r", ""), err.toString());
        } finally {
            System.setIn(in);
        }
    }

    @Test
    void completesAndChats() {
        assertThat(run("", "complete", "a b c", "-m", "french").out()).isEqualTo("french:a b c\n");
        assertThat(run("from a pipe", "complete").out()).isEqualTo("base:from a pipe\n");
        assertThat(TestServer.parse(run("", "complete", "a b", "--json").out()).path("completionTokens").asInt()).isEqualTo(2);
        assertThat(run("", "chat", "hello you", "-m", "german").out()).isEqualTo("german:hello you\n");
        Ran talk = run("one\n\n/model french\ntwo\n/model nobody\nthree\n/clear\n/model german\nfour\n", "chat", "--system", "Be brief.");
        assertThat(talk.out()).isEqualTo("base:one\nfrench:two\ngerman:four\n");
        assertThat(talk.err()).contains("french> ").contains("does not exist");
        var prompts = server.runtime.requests.stream().skip(server.runtime.requests.size() - 2)
                .map(request -> ((dev.polyphon.runtime.Prompt.Chat) request.prompt()).messages().size()).toList();
        assertThat(prompts).as("system, one, its answer, two; system, four").containsExactly(4, 2);
    }

    @Test
    void listsAndUnloadsAdapters() throws IOException {
        assertThat(run("", "adapter", "list").out()).contains("NAME ").containsPattern("french +org/base-135m +512");
        assertThat(TestServer.parse(run("", "adapter", "list", "--json").out())).hasSize(3);
        assertThat(run("", "adapter", "unload", "french").out()).isEqualTo("french is unloaded\n");
        Ran again = run("", "adapter", "unload", "french");
        assertThat(again.status()).isEqualTo(1);
        assertThat(run("", "adapter", "load", "french", "/nowhere").status()).isEqualTo(1);
    }

    @Test
    void uploadsFoldersAndArchives(@TempDir Path folder) throws IOException {
        Files.writeString(folder.resolve("adapter_config.json"), "{}");
        Files.writeString(folder.resolve("adapter_model.safetensors"), "x".repeat(300_000));
        Files.writeString(folder.resolve("optimizer.pt"), "not an adapter's");
        Ran uploaded = run("", "adapter", "upload", "org/mine", folder.toString(), "--owner", "acme");
        assertThat(uploaded.out()).as(uploaded.err()).startsWith("org/mine is uploaded: version ");
        assertThat(server.runtime.catalog.sent).containsOnlyKeys("adapter_config.json", "adapter_model.safetensors")
                .containsEntry("adapter_model.safetensors", "x".repeat(300_000));
        assertThat(server.get("/admin/v1/adapters/org%2Fmine?owner=acme").status()).isEqualTo(200);
        Path zip = Files.writeString(folder.resolve("a.zip"), "zipped");
        assertThat(run("", "adapter", "upload", "packed", zip.toString()).status()).isZero();
        assertThat(run("", "adapter", "upload", "packed", Files.writeString(folder.resolve("a.tgz"), "tarred").toString(), "--replace").status()).isZero();
        assertThat(run("", "adapter", "upload", "packed", folder.resolve("none").toString()).err()).contains("no such file");
        assertThat(run("", "adapter", "upload", "packed", folder.resolve("optimizer.pt").toString()).err()).contains("neither a folder nor a .zip");
    }

    @Test
    void worksOffABatch(@TempDir Path folder) throws IOException {
        Path in = folder.resolve("in.jsonl");
        Path out = folder.resolve("out.jsonl");
        Files.writeString(in, """
                {"custom_id": "chat", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "french", "messages": [{"role": "user", "content": "a b"}]}}
                {"custom_id": "text", "method": "POST", "url": "/v1/completions", "body": {"model": "german", "prompt": "c"}}
                {"custom_id": "vector", "method": "POST", "url": "/v1/embeddings", "body": {"model": "french", "input": "d e f"}}
                """);
        Ran ran = run("", "batch", in.toString(), out.toString(), "--concurrency", "2");
        assertThat(ran.out()).as(ran.err()).startsWith("3 requests: 3 answered, 0 failed; 0 had their line before, 0 further tries, 6 tokens in and 3 out, ");
        var lines = new java.util.HashMap<String, com.fasterxml.jackson.databind.JsonNode>();
        Files.readAllLines(out).stream().map(TestServer::parse).forEach(line -> lines.put(line.path("custom_id").asText(), line.path("response")));
        assertThat(lines.get("chat").at("/body/choices/0/message/content").asText()).isEqualTo("french:a b");
        assertThat(lines.get("chat").path("request_id").asText()).startsWith("req-");
        assertThat(lines.get("chat").at("/body/id").asText()).startsWith("chatcmpl-");
        assertThat(lines.get("text").at("/body/choices/0/text").asText()).isEqualTo("german:c");
        assertThat(lines.get("vector").at("/body/data/0/embedding").size()).isEqualTo(dev.polyphon.server.FakeRuntime.WIDTH);
        Files.writeString(in, "{\"custom_id\": \"none\", \"method\": \"POST\", \"url\": \"/v1/completions\", \"body\": {\"model\": \"nobody\", \"prompt\": \"c\"}}\n",
                java.nio.file.StandardOpenOption.APPEND);
        Ran again = run("", "batch", in.toString(), out.toString(), "--json");
        assertThat(again.status()).isEqualTo(1);
        assertThat(again.err()).contains("1 of 4 requests failed");
        assertThat(TestServer.parse(again.out()).path("answeredBefore").asInt()).isEqualTo(3);
        assertThat(run("", "batch", in.toString(), out.toString(), "--concurrency", "0").status()).isEqualTo(2);
    }

    @Test
    void topShowsTenantsAndAdapters() throws Exception {
        client.ask(new Request.Completion("french", "a b c"));
        String screen = run("", "top", "--count", "1", "--interval", "0.01").out();
        assertThat(screen).containsPattern("RUNNING +WAITING").contains("2 of 2").containsPattern("default +0 +0 +0.0 +3");
        var state = TestServer.parse(run("", "top", "--count", "1", "--interval", "0.01", "--json").out());
        assertThat(state.path("waiting").asInt()).isEqualTo(3);
        assertThat(state.path("tenants").path("default").path("generatedTokens").asInt()).isEqualTo(3);
    }

    @Test
    void sayWhereNothingAnswers() {
        var err = new StringWriter();
        int status = Main.commands().setErr(new PrintWriter(err)).execute("chat", "hi", "--url", "http://127.0.0.1:1");
        assertThat(status).isEqualTo(1);
        assertThat(err.toString()).contains("nothing answers at http://127.0.0.1:1");
        var script = new StringWriter();
        assertThat(Main.commands().setOut(new PrintWriter(script)).execute("generate-completion")).isZero();
        assertThat(script.toString()).contains("chat").contains("bench").contains("complete -F");
        var elsewhere = CommandLines.run("bench", "--workload", "W1", "http://127.0.0.1:1");
        assertThat(elsewhere.status()).isEqualTo(2);
        assertThat(elsewhere.err()).contains("./polyphon bench");
    }
}
