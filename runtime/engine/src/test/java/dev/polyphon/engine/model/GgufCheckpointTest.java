package dev.polyphon.engine.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polyphon.engine.adapter.AdapterFolder;
import dev.polyphon.engine.adapter.LoadedAdapter;
import dev.polyphon.engine.adapter.ops.Merge;
import dev.polyphon.engine.backend.Batch;
import dev.polyphon.engine.backend.Kernels;
import dev.polyphon.engine.backend.KvCache;
import dev.polyphon.engine.backend.cpu.CpuKernels;
import dev.polyphon.engine.model.AdapterPlan.Segment;
import dev.polyphon.engine.weights.DType;
import dev.polyphon.engine.weights.GgufBuilder;
import dev.polyphon.engine.weights.MalformedFileException;
import dev.polyphon.runtime.OperationProgress;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** GGUF files of every architecture that llama.cpp and this engine both know compute what the folders that they were made from compute. */
class GgufCheckpointTest {
    private static final Path GOLDEN = Path.of("src/test/resources/golden");
    private static final int[] PROMPT = {5, 77, 60, 31, 8, 90, 13, 13, 2, 41, 19, 70};

    private static Kernels kernels;

    @TempDir
    Path scratch;

    @BeforeAll
    static void open() {
        kernels = CpuKernels.open(1);
    }

    @AfterAll
    static void close() {
        kernels.close();
    }

    @ParameterizedTest
    @ValueSource(strings = {"llama", "llama-mha-bias", "mistral", "mixtral", "qwen2", "qwen3", "gemma2", "gemma3", "phi3", "phi3-longrope",
        "phi3-longrope-short", "gpt2", "gpt_neox", "bloom", "starcoder2"})
    void computesWhatTheFolderComputes(String name) throws IOException {
        Path base = asLlamaCppHasIt(name);
        Path file = GoldenGguf.write(base, scratch.resolve("base.gguf"));
        float[] expected = logits(base, null);
        assertThat(largest(expected, logits(file, null))).isLessThan(1e-5);
    }

    @ParameterizedTest
    @ValueSource(strings = {"lora-llama", "lora-mixtral", "lora-experts-gate-mixtral", "lora-gemma2", "lora-gemma3", "lora-phi3", "dora-gpt2", "lora-gpt_neox",
        "ref-adapterbias-bloom", "ia3-bloom", "lora-qwen2", "lora-embed-tied-qwen2", "lora-qwen3", "ln-tuning-llama", "lora-bias-llama", "ref-adapterbias-llama",
        "lora-embed-head-llama", "oft-llama"})
    void isWrittenWithAnAdapterFoldedIn(String adapter) throws IOException {
        Path folder = GOLDEN.resolve("adapters").resolve(adapter);
        String name = adapter.substring(adapter.lastIndexOf('-') + 1);
        Path base = asLlamaCppHasIt(name);
        Path file = GoldenGguf.write(base, scratch.resolve("base.gguf"));
        float[] expected = logits(base, folder);
        assertThat(largest(expected, logits(base, null))).isGreaterThan(1e-3);
        Path exact = merge(file, folder, null, "merged.gguf");
        assertThat(largest(expected, logits(exact, null))).isLessThan(2e-4);
        Path half = merge(file, folder, DType.F16, "half.gguf");
        assertThat(Files.size(half)).isLessThan(Files.size(exact) * 2 / 3);
        // Some units in the last place of half precision (2^-11 of a value), through two layers.
        float[] rounded = logits(half, null);
        double error = 0;
        double size = 0;
        for (int i = 0; i < expected.length; i++) {
            error += Math.pow(rounded[i] - expected[i], 2);
            size += Math.pow(expected[i], 2);
        }
        assertThat(Math.sqrt(error / size)).isLessThan(8 * 0x1p-11);
    }

    @Test
    void refusesWhatItWouldComputeWrongly() throws IOException {
        GgufBuilder builder = new GgufBuilder().metadata("general.architecture", "llama").metadata("llama.embedding_length", 64)
                .metadata("llama.feed_forward_length", 160).metadata("llama.block_count", 2).metadata("llama.context_length", 512)
                .metadata("llama.attention.head_count", 4).metadata("llama.rope.dimension_count", 8)
                .f32("token_embd.weight", new long[] {2, 64}, new float[128]);
        Path file = builder.write(scratch.resolve("partial.gguf"));
        assertThatThrownBy(() -> Checkpoint.open(file)).isInstanceOf(MalformedFileException.class)
                .hasMessageContaining("llama.rope.dimension_count is 8 of a head's 16 columns");
        Path scaled = builder.metadata("llama.rope.dimension_count", 16).metadata("llama.attention.scale", 0.5f).write(scratch.resolve("scaled.gguf"));
        assertThatThrownBy(() -> Checkpoint.open(scaled)).hasMessageContaining("llama.attention.scale is 0.5, which is not supported");
    }

    /** The base, with what llama.cpp's converter leaves out as llama.cpp assumes it: how Gemma scales its queries, no window in Mistral and StarCoder2. */
    private Path asLlamaCppHasIt(String name) throws IOException {
        Path base = GOLDEN.resolve("bases").resolve(name);
        ObjectNode config = (ObjectNode) new ObjectMapper().readTree(Files.readAllBytes(base.resolve("config.json")));
        boolean gemma = config.has("query_pre_attn_scalar");
        if (gemma) {
            config.set("query_pre_attn_scalar", config.get("head_dim"));
        } else if (config.path("sliding_window").isNumber()) {
            config.remove("sliding_window");
        } else {
            return base;
        }
        Path changed = Files.createDirectory(scratch.resolve("changed"));
        Files.copy(base.resolve("model.safetensors"), changed.resolve("model.safetensors"));
        Files.write(changed.resolve("config.json"), new ObjectMapper().writeValueAsBytes(config));
        return changed;
    }

    private Path merge(Path base, Path adapter, DType type, String name) throws IOException {
        Path to = scratch.resolve(name);
        try (Checkpoint checkpoint = Checkpoint.open(base);
                LoadedAdapter loaded = AdapterFolder.open(adapter).load("a", null, checkpoint, kernels)) {
            Merge.write(loaded.weights(), checkpoint, kernels, type, to, OperationProgress.NONE);
        }
        return to;
    }

    private static float[] logits(Path model, Path adapter) throws IOException {
        try (Checkpoint checkpoint = Checkpoint.open(model); BaseWeights weights = new BaseWeights(kernels, checkpoint);
                LoadedAdapter loaded = adapter == null ? null : AdapterFolder.open(adapter).load("a", null, checkpoint, kernels)) {
            ArchitectureSpec spec = checkpoint.spec();
            int n = PROMPT.length;
            int[] positions = new int[n];
            Arrays.setAll(positions, i -> i);
            float[] logits = new float[n * spec.vocabulary()];
            AdapterPlan plan = loaded == null ? AdapterPlan.NONE : new AdapterPlan(List.of(new Segment(loaded.weights(), 0, n)));
            try (Decoder decoder = new Decoder(kernels, spec, weights, n, n, 64);
                    KvCache cache = kernels.kvCache(spec.layers().size(), spec.kvHeads(), spec.headDim(), 2, 32).openAll()) {
                decoder.forward(new Batch(PROMPT, positions, new int[] {0, n}, new int[][] {{0, 1}}), plan, cache, positions, n, logits);
            }
            return logits;
        }
    }

    private static double largest(float[] a, float[] b) {
        double largest = 0;
        for (int i = 0; i < a.length; i++) {
            largest = Math.max(largest, Math.abs(a[i] - b[i]));
        }
        return largest;
    }
}
