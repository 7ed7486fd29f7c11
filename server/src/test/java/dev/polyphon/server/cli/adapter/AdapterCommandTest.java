package dev.polyphon.server.cli.adapter;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;

/** The command line of the operations: what it prints, what it leaves, and how it ends. */
class AdapterCommandTest {
    private static final Path GOLDEN = Path.of("../runtime/engine/src/test/resources/golden");
    private static final String LLAMA = GOLDEN.resolve("bases/llama").toString();

    @TempDir
    Path scratch;

    private final StringWriter out = new StringWriter();
    private final StringWriter err = new StringWriter();

    private int run(String... arguments) {
        return new CommandLine(new AdapterCommand()).setOut(new PrintWriter(out, true)).setErr(new PrintWriter(err, true))
                .setExecutionExceptionHandler((e, command, parsed) -> {
                    err.append(e.getMessage());
                    return 1;
                }).execute(arguments);
    }

    private static String adapter(String name) {
        return GOLDEN.resolve("adapters").resolve(name).toString();
    }

    private JsonNode json() throws IOException {
        return new ObjectMapper().readTree(out.toString());
    }

    @Test
    void inspects() throws IOException {
        assertThat(run("inspect", adapter("mix-c"), "--base", LLAMA, "--json")).isZero();
        assertThat(json().path("kind").asText()).isEqualTo("LORA");
        assertThat(json().at("/ranks/8").asInt()).isEqualTo(6);
        assertThat(json().path("bytesInMemory").asInt()).isPositive();
    }

    @Test
    void everyCommandWritesWhatTheNextOneReads() throws IOException {
        String lora = scratch.resolve("lora").toString();
        String combined = scratch.resolve("combined").toString();
        String small = scratch.resolve("small").toString();
        String sparse = scratch.resolve("sparse").toString();
        String again = scratch.resolve("again").toString();
        assertThat(run("convert", adapter("pissa-llama"), lora, "--base", LLAMA)).as(err.toString()).isZero();
        assertThat(run("combine", lora + "=0.5", adapter("mix-a") + "=-1", "--to", combined, "--base", LLAMA)).as(err.toString()).isZero();
        for (String seed : new String[] {"3", "4"}) {
            for (int i = 0; i < 2; i++) {
                assertThat(run("combine", lora, adapter("mix-a"), "--method", "dare", "--density", "0.5", "--seed", seed, "--to",
                        scratch.resolve("dare" + seed + i).toString(), "--base", LLAMA)).as(err.toString()).isZero();
            }
            assertThat(scratch.resolve("dare" + seed + "0/adapter_model.safetensors")).hasSameBinaryContentAs(scratch.resolve("dare" + seed + "1/adapter_model.safetensors"));
        }
        assertThat(Files.mismatch(scratch.resolve("dare30/adapter_model.safetensors"), scratch.resolve("dare40/adapter_model.safetensors"))).isNotNegative();
        assertThat(run("quantize", combined, small, "--bits", "8")).as(err.toString()).isZero();
        assertThat(run("prune", small, sparse, "--base", LLAMA, "--ratio", "0.3")).as(err.toString()).isZero();
        assertThat(run("svd", sparse, again, "--base", LLAMA, "--rank", "2")).as(err.toString()).isZero();
        assertThat(run("align-merge", again, again, scratch.resolve("same").toString())).as(err.toString()).isZero();
        assertThat(run("generate", adapter("ref-hyper-adapters-llama"), scratch.resolve("plain").toString(), "--base", LLAMA, "--task", "nope")).isEqualTo(1);
        assertThat(err.toString()).contains("no task nope");
        out.getBuffer().setLength(0);
        assertThat(run("inspect", scratch.resolve("same").toString(), "--base", LLAMA, "--json")).isZero();
        assertThat(json().at("/ranks/2").asInt()).isEqualTo(14);
    }

    @Test
    void alignsOnTexts() throws IOException {
        Path other = Mirrored.adapter(Path.of(adapter("mix-a")), scratch.resolve("other"));
        Path texts = Files.writeString(scratch.resolve("texts.jsonl"), "{\"prompt\": [1, 2, 3, 4, 5]}\n\n{\"text\": [9, 8, 7]}\n");
        Path merged = scratch.resolve("merged");
        assertThat(run("align-merge", adapter("mix-a"), other.toString(), merged.toString(), "--calibration", texts.toString(), "--base", LLAMA, "--json"))
                .as(err.toString()).isZero();
        assertThat(json().path("calibrationTokens").asInt()).isEqualTo(8);
        Mirrored.assertSame(merged, Path.of(adapter("mix-a")));
        Path to = scratch.resolve("to");
        assertThat(run("align-merge", adapter("mix-a"), other.toString(), to.toString(), "--calibration", texts.toString())).isEqualTo(2);
        assertThat(err.toString()).contains("--base MODEL is missing");
        refusesTexts("x.jsonl", "{\"prompt\": [1]}\n{\"prompts\": [1]}", "line 2: expected an object with the field text or prompt");
        refusesTexts("x.jsonl", "{\"prompt\": 5}", "line 1: Invalid type for 'prompt'");
        refusesTexts("x.jsonl", "{\"prompt\"", "line 1: Unexpected end");
        refusesTexts("x.txt", "\n \n", "holds no texts");
        refusesTexts("x.txt", "a text", "this model has no tokenizer");
        assertThat(to).doesNotExist();
    }

    private void refusesTexts(String name, String content, String why) throws IOException {
        Path file = Files.writeString(scratch.resolve(name), content);
        assertThat(run("align-merge", adapter("mix-a"), adapter("mix-b"), scratch.resolve("to").toString(), "--calibration", file.toString(), "--base", LLAMA))
                .isNotZero();
        assertThat(err.toString()).contains(why);
    }

    @Test
    void failuresAreToldAndLeaveNothing() throws IOException {
        assertThat(run("quantize", adapter("mix-a"), scratch.resolve("q").toString(), "--bits", "3")).isEqualTo(2);
        assertThat(err.toString()).contains("bits must be 8 or 1, found 3");
        assertThat(run("combine", adapter("mix-a") + "=much", "--to", scratch.resolve("c").toString(), "--base", LLAMA)).isEqualTo(2);
        assertThat(run("convert", adapter("ia3-llama"), scratch.resolve("i").toString(), "--base", LLAMA)).isEqualTo(1);
        assertThat(err.toString()).contains("more than a change of weights");
        assertThat(run("convert", adapter("mix-a"), adapter("mix-b"), "--base", LLAMA)).isEqualTo(1);
        assertThat(err.toString()).contains("exists already");
        try (Stream<Path> left = Files.list(scratch)) {
            assertThat(left).isEmpty();
        }
    }

    @Test
    void mergesIntoAModelOfItsOwn() throws IOException {
        Path merged = scratch.resolve("merged");
        assertThat(run("merge", adapter("lora-bias-llama"), "--base", LLAMA, "--type", "BF16", "--to", merged.toString(), "--json")).as(err.toString()).isZero();
        assertThat(json().path("changed").asInt()).isPositive();
        JsonNode config = new ObjectMapper().readTree(Files.readAllBytes(merged.resolve("config.json")));
        assertThat(config.path("dtype").asText()).isEqualTo("bfloat16");
        assertThat(config.path("hidden_size").asInt()).isEqualTo(64);
        Path mix = scratch.resolve("mix");
        assertThat(run("merge", adapter("mix-a") + "=0.5", adapter("mix-b") + "=-1", "--base", LLAMA, "--to", mix.toString())).as(err.toString()).isZero();
        assertThat(run("merge", adapter("mix-a"), "--base", LLAMA, "--to", mix.toString())).isEqualTo(1);
        assertThat(err.toString()).contains("exists already");
        Path refused = scratch.resolve("refused");
        assertThat(run("merge", adapter("ref-llm-adapters-series-llama"), "--base", LLAMA, "--to", refused.toString())).isEqualTo(2);
        assertThat(err.toString()).contains("cannot be merged: at layers.0.gate: a bottleneck with the nonlinearity TANH");
        assertThat(run("merge", adapter("prompt-tuning-llama"), "--base", LLAMA, "--to", refused.toString())).isEqualTo(2);
        assertThat(err.toString()).contains("embeddings before the prompt");
        assertThat(run("merge", adapter("mix-a"), "--base", LLAMA, "--type", "Q2", "--to", refused.toString())).isEqualTo(2);
        assertThat(err.toString()).contains("type must be F32 or F16 or BF16, found Q2");
        assertThat(refused).doesNotExist();
    }
}
