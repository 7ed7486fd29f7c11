package dev.polyphon.server.cli.adapter;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.polyphon.engine.Engine;
import dev.polyphon.engine.EngineOptions;
import dev.polyphon.engine.adapter.AdapterFolder;
import dev.polyphon.engine.adapter.ops.SavedAdapter;
import dev.polyphon.engine.backend.cpu.CpuKernels;
import dev.polyphon.runtime.AdapterId;
import dev.polyphon.runtime.AdapterRegistration;
import dev.polyphon.runtime.AdapterWeight;
import dev.polyphon.runtime.FinishReason;
import dev.polyphon.runtime.GenerationRequest;
import dev.polyphon.runtime.Prompt;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.runtime.Sampling;
import dev.polyphon.runtime.TokenEvent;
import dev.polyphon.runtime.TokenSink;
import dev.polyphon.server.PolyphonServer;
import dev.polyphon.server.cli.remote.CancelCommand;
import dev.polyphon.server.cli.remote.OperationsCommand;
import dev.polyphon.server.config.PolyphonConfig;
import dev.polyphon.server.config.Sources;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;

/** The same commands against a server with the real engine: it makes adapters of those it serves, and serves what it made. */
class RemoteOperationsTest {
    private static final Path GOLDEN = Path.of("../runtime/engine/src/test/resources/golden").toAbsolutePath().normalize();

    @TempDir
    Path made;

    private Engine engine;
    private PolyphonServer server;
    private String url;
    private final StringWriter out = new StringWriter();
    private final StringWriter err = new StringWriter();

    @BeforeEach
    void start() throws IOException {
        engine = Engine.open(EngineOptions.of("llama", GOLDEN.resolve("bases/llama")).withKv(16 << 20, 16), CpuKernels.open(1));
        for (String name : List.of("mix-a", "mix-b", "pissa-llama", "ia3-llama", "ref-hyper-adapters-llama", "ref-llm-adapters-series-llama")) {
            engine.adapters().register(AdapterRegistration.folder(name, "llama", GOLDEN.resolve("adapters").resolve(name)));
        }
        server = new PolyphonServer(PolyphonConfig.read(Sources.of(null, Map.of(), Map.of("server.port", "0", "operations.folder", made.toString()))), engine);
        url = "http://127.0.0.1:" + server.address().getPort();
    }

    @AfterEach
    void stop() {
        server.close();
    }

    private int run(String... arguments) {
        out.getBuffer().setLength(0);
        err.getBuffer().setLength(0);
        return new CommandLine(new AdapterCommand()).addSubcommand(new OperationsCommand()).addSubcommand(new CancelCommand())
                .setOut(new PrintWriter(out, true)).setErr(new PrintWriter(err, true)).setExecutionExceptionHandler((e, command, parsed) -> {
                    err.append(e.getMessage());
                    return 1;
                }).execute(arguments);
    }

    private JsonNode json() throws IOException {
        return new ObjectMapper().readTree(out.toString());
    }

    /** What the engine generates after a prompt with these adapters. */
    private List<Integer> generate(AdapterWeight... adapters) {
        var ids = new ArrayList<Integer>();
        var done = new CompletableFuture<List<Integer>>();
        Sampling greedy = Sampling.builder().temperature(0).maxTokens(12).ignoreEos(true).build();
        engine.generate(new GenerationRequest("r", "anyone", "llama", List.of(adapters), new Prompt.Tokens(new int[] {5, 9, 11, 2}), greedy, 1), new TokenSink() {
            @Override
            public void started(int promptTokens, int cachedTokens) {}

            @Override
            public void token(TokenEvent event) {
                ids.add(event.token());
            }

            @Override
            public void finished(int choice, String text, FinishReason reason, int generatedTokens) {
                done.complete(ids);
            }

            @Override
            public void failed(RuntimeFault fault) {
                done.completeExceptionally(fault);
            }
        });
        return done.join();
    }

    @Test
    void makesAdaptersOfThoseItServesAndServesThem() throws Exception {
        assertThat(run("combine", "mix-a=0.7", "mix-b=-0.4", "--to", "both", "--server", url)).as(err.toString()).isZero();
        List<Integer> combined = generate(new AdapterWeight("both"));
        assertThat(generate(new AdapterWeight("mix-a", 0.7f, null), new AdapterWeight("mix-b", -0.4f, null))).as("the same mix, asked for with a request")
                .isEqualTo(combined);
        assertThat(generate()).isNotEqualTo(combined);
        assertThat(run("svd", "both", "small", "--rank", "2", "--server", url)).as(err.toString()).isZero();
        assertThat(run("prune", "both", "sparse", "--ratio", "0.5", "--server", url)).as(err.toString()).isZero();
        assertThat(run("quantize", "both", "bits", "--bits", "8", "--server", url)).as(err.toString()).isZero();
        assertThat(run("align-merge", "both", "both", "same", "--server", url)).as(err.toString()).isZero();
        assertThat(run("convert", "pissa-llama", "plain", "--server", url)).as(err.toString()).isZero();
        assertThat(run("merge", "sparse", "--to", "merged", "--server", url, "--json")).as(err.toString()).isZero();
        assertThat(Path.of(json().path("written").asText())).isEqualTo(made.resolve("merged")).isDirectory();
        assertThat(run("inspect", "small", "--server", url, "--json")).as(err.toString()).isZero();
        assertThat(json().at("/ranks/2").asInt()).isPositive();
        assertThat(json().at("/sites/layers.*.q/LowRankDelta").asInt()).isEqualTo(2);
        assertThat(run("operations", "--url", url)).isZero();
        assertThat(out.toString().lines().skip(1)).hasSize(8).allSatisfy(line -> assertThat(line).contains("completed"));
    }

    @Test
    void alignsOnTextsThatAreSent() throws Exception {
        engine.adapters().register(AdapterRegistration.folder("other", "llama", Mirrored.adapter(GOLDEN.resolve("adapters/mix-a"), made.resolve("other"))));
        Path texts = Files.writeString(made.resolve("texts.jsonl"), "{\"prompt\": [1, 2, 3, 4, 5]}");
        assertThat(run("align-merge", "mix-a", "other", "same", "--calibration", texts.toString(), "--server", url, "--json")).as(err.toString()).isZero();
        assertThat(json().path("calibrationTokens").asInt()).isEqualTo(5);
        Mirrored.assertSame(Path.of(json().at("/adapter/source").asText()), GOLDEN.resolve("adapters/mix-a"));
        assertThat(generate(new AdapterWeight("same"))).isEqualTo(generate(new AdapterWeight("mix-a"))).isNotEqualTo(generate());
        Files.writeString(texts, "{\"prompt\": [1, 2, 99999]}");
        assertThat(run("align-merge", "mix-a", "other", "again", "--calibration", texts.toString(), "--server", url)).isEqualTo(1);
        assertThat(err.toString()).contains("calibration has token 99999");
    }

    @Test
    void warnsOfAnAdapterThatLacksAModuleInSomeLayers() throws Exception {
        SavedAdapter whole = SavedAdapter.read(AdapterFolder.open(GOLDEN.resolve("adapters/mix-a")));
        SavedAdapter some = new SavedAdapter(whole.config());
        whole.tensors().values().stream().filter(tensor -> !tensor.name().contains("layers.1.self_attn.q_proj")).forEach(some::put);
        some.save(made.resolve("some"));
        engine.adapters().register(AdapterRegistration.folder("some", "llama", made.resolve("some")));
        assertThat(run("inspect", made.resolve("some").toString())).isZero();
        String warning = "model.layers.*.self_attn.q_proj is adapted, but not in layer 1; the configuration does not say that it was left out";
        assertThat(out.toString()).contains("warning: " + warning);
        assertThat(run("inspect", "some", "--server", url, "--json")).as(err.toString()).isZero();
        assertThat(json().at("/warnings/0").asText()).isEqualTo(warning);
        assertThat(status("some").has("warnings")).as("before it is loaded").isFalse();
        generate(new AdapterWeight("some"));
        assertThat(status("some").at("/warnings/0").asText()).isEqualTo(warning);
        assertThat(status("some").path("tier").asText()).isEqualTo("loaded");
        engine.adapters().unload(AdapterId.shared("some"));
        assertThat(status("some").has("warnings")).isFalse();
    }

    /** What requests name by themselves is what the operations make of it: a mix by weights, a task of a hypernetwork. */
    @Test
    void requestsNameMixesAndTasks() throws Exception {
        assertThat(run("combine", "mix-a=0.7", "mix-b=-0.4", "--to", "both", "--server", url)).as(err.toString()).isZero();
        float[] mixed = embedding("\"model\": \"llama\", \"adapters\": [{\"id\": \"mix-a\", \"weight\": 0.7}, {\"id\": \"mix-b\", \"weight\": -0.4}]");
        assertThat(mixed).containsExactly(embedding("\"model\": \"both\""), within(1e-5f));
        assertThat(apart(mixed, embedding("\"model\": \"llama\""))).isGreaterThan(0.01f);
        float[] one = embedding("\"model\": \"ref-hyper-adapters-llama\", \"task\": \"lang1\"");
        assertThat(apart(one, embedding("\"model\": \"ref-hyper-adapters-llama\", \"task\": \"lang2\""))).isGreaterThan(0.01f);
        assertThat(run("generate", "ref-hyper-adapters-llama", "plain", "--task", "lang1", "--server", url)).as(err.toString()).isZero();
        assertThat(one).containsExactly(embedding("\"model\": \"plain\""), within(1e-5f));
        assertThat(post("\"model\": \"ref-hyper-adapters-llama\"").at("/error/message").asText()).contains("must name one of lang0, lang1, lang2");
        assertThat(post("\"model\": \"ref-hyper-adapters-llama\"").at("/error/param").asText()).isEqualTo("task");
        assertThat(post("\"model\": \"mix-a\", \"task\": \"lang1\"").at("/error/message").asText()).contains("has no tasks");
    }

    private static float apart(float[] some, float[] others) {
        float most = 0;
        for (int i = 0; i < some.length; i++) {
            most = Math.max(most, Math.abs(some[i] - others[i]));
        }
        return most;
    }

    private float[] embedding(String fields) throws Exception {
        JsonNode answer = post(fields);
        assertThat(answer.has("error")).as(answer.toString()).isFalse();
        return new ObjectMapper().convertValue(answer.at("/data/0/embedding"), float[].class);
    }

    private JsonNode post(String fields) throws Exception {
        var answer = HttpClient.newHttpClient().send(HttpRequest.newBuilder(URI.create(url + "/v1/embeddings")).header("Content-Type", "application/json")
                .POST(HttpRequest.BodyPublishers.ofString("{" + fields + ", \"input\": [5, 9, 11, 2]}")).build(), HttpResponse.BodyHandlers.ofString());
        return new ObjectMapper().readTree(answer.body());
    }

    private JsonNode status(String adapter) throws Exception {
        var answer = HttpClient.newHttpClient().send(HttpRequest.newBuilder(URI.create(url + "/admin/v1/adapters/" + adapter)).build(),
                HttpResponse.BodyHandlers.ofString());
        return new ObjectMapper().readTree(answer.body());
    }

    @Test
    void tellsWhatTheServerSays() throws IOException {
        assertThat(run("convert", "ia3-llama", "plain", "--server", url)).isEqualTo(1);
        assertThat(err.toString()).contains("more than a change of weights");
        assertThat(run("convert", "mix-a", "mix-b", "--server", url)).isEqualTo(1);
        assertThat(err.toString()).contains("already registered");
        assertThat(run("merge", "ref-llm-adapters-series-llama", "--to", "merged", "--server", url)).isEqualTo(1);
        assertThat(err.toString()).contains("cannot be merged: at layers.0.gate");
        assertThat(run("generate", "ref-hyper-adapters-llama", "plain", "--task", "nope", "--server", url)).isEqualTo(1);
        assertThat(err.toString()).contains("no task nope");
        assertThat(run("convert", "mix-a", "plain", "--server", url, "--base", "x")).isEqualTo(2);
        assertThat(run("convert", "mix-a", "plain")).isEqualTo(2);
        assertThat(err.toString()).contains("--base MODEL is missing; or --server URL");
        assertThat(run("cancel", "op-none", "--url", url)).isEqualTo(1);
        assertThat(err.toString()).contains("There is no operation 'op-none'");
        assertThat(made).isEmptyDirectory();
    }
}
