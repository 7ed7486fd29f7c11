package dev.polyphon.engine.merge;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.polyphon.engine.adapter.AdapterFolder;
import dev.polyphon.engine.adapter.AdapterPart;
import dev.polyphon.engine.adapter.LoadedAdapter;
import dev.polyphon.engine.backend.Batch;
import dev.polyphon.engine.backend.Kernels;
import dev.polyphon.engine.backend.KvCache;
import dev.polyphon.engine.backend.Tensor;
import dev.polyphon.engine.backend.cpu.CpuKernels;
import dev.polyphon.engine.model.AdapterPlan;
import dev.polyphon.engine.model.AdapterPlan.Segment;
import dev.polyphon.engine.model.AdapterWeights;
import dev.polyphon.engine.model.BaseWeights;
import dev.polyphon.engine.model.Checkpoint;
import dev.polyphon.engine.model.Decoder;
import dev.polyphon.engine.model.Form;
import dev.polyphon.engine.model.Module;
import dev.polyphon.engine.model.Site;
import dev.polyphon.engine.weights.DType;
import dev.polyphon.engine.weights.Floats;
import dev.polyphon.engine.weights.SafeTensors;
import dev.polyphon.engine.weights.TensorFile;
import dev.polyphon.engine.weights.TensorView;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** Folded, every adapter of the reference vectors that can be folded computes the reference's logits. */
class FoldTest {
    private static final Path ROOT = Path.of("src/test/resources/golden");
    /** Nonlinear, before the prompt, or active from some token on: the kinds of adapters that other weights cannot stand for. */
    private static final Set<String> NO_WEIGHTS = Set.of("alora", "hub-channel", "hub-compacter", "hub-compacter-own-rule", "hub-houlsby",
            "hub-loreft", "hub-loreft-tied", "hub-mam", "hub-parallel", "hub-pfeiffer", "hub-pfeiffer-scaled", "hub-prefix", "hub-prefix-flat", "p-tuning", "prefix-projection", "prefix-tuning", "prompt-tuning", "ref-hyper-adapters",
            "ref-hyperformer", "ref-llm-adapters-parallel", "ref-llm-adapters-parallel-learned-scaling", "ref-llm-adapters-series", "ref-one-bit");

    @Test
    void foldedAdaptersComputeTheReferencesLogits() throws IOException {
        Map<String, List<Path>> byBase = new TreeMap<>();
        try (Stream<Path> cases = Files.list(ROOT.resolve("cases"))) {
            for (Path folder : cases.sorted().toList()) {
                JsonNode json = json(folder);
                if (json.hasNonNull("adapter")) {
                    byBase.computeIfAbsent(json.path("base").asText(), b -> new ArrayList<>()).add(folder);
                }
            }
        }
        Set<String> refused = new TreeSet<>();
        int folded = 0;
        for (Map.Entry<String, List<Path>> base : byBase.entrySet()) {
            try (Bench bench = new Bench(ROOT.resolve("bases").resolve(base.getKey()))) {
                for (Path folder : base.getValue()) {
                    JsonNode json = json(folder);
                    String name = folder.getFileName().toString();
                    String task = json.hasNonNull("task") ? json.path("task").asText() : null;
                    try (LoadedAdapter adapter = AdapterFolder.open(ROOT.resolve("adapters").resolve(json.path("adapter").asText()))
                            .load(name, task, bench.base, bench.kernels)) {
                        if (!Fold.obstacles(adapter.weights()).isEmpty()) {
                            refused.add(name.substring(0, name.lastIndexOf('-')));
                        } else {
                            folded++;
                            try (Arena arena = Arena.ofShared()) {
                                bench.compare(folder, json, bench.whole(adapter.weights(), arena));
                            }
                        }
                        // As the engine has it, which keeps what cannot be folded.
                        try (MergedAdapter merged = bench.merged(adapter.weights())) {
                            if (adapter.weights().prefix() == null && !adapter.weights().partial()) {
                                bench.compare(folder, json, merged.weights());
                            }
                            assertThat(merged.bytes()).isGreaterThanOrEqualTo(MergedAdapter.bytes(MergedAdapter.folded(adapter.weights()), bench.base, Precision.F32));
                        } catch (InterruptedException e) {
                            throw new AssertionError(e);
                        }
                    }
                }
            }
        }
        assertThat(refused).isEqualTo(new TreeSet<>(NO_WEIGHTS));
        assertThat(folded).isGreaterThan(70);
    }

    @Test
    void mixesAreFolded() throws Exception {
        try (Bench bench = new Bench(ROOT.resolve("bases/llama"))) {
            List<AdapterPart> parts = new ArrayList<>();
            for (String name : List.of("mix-a", "mix-b", "lora-llama")) {
                parts.add(new AdapterPart(name, AdapterFolder.open(ROOT.resolve("adapters").resolve(name)), null, parts.isEmpty() ? 0.7f : -0.4f));
            }
            int[] prompt = {5, 77, 200, 31, 8};
            try (LoadedAdapter mix = AdapterFolder.load(parts, bench.base, bench.kernels);
                    MergedAdapter merged = bench.merged(mix.weights())) {
                float[] plain = bench.logits(prompt, null);
                float[] unmerged = bench.logits(prompt, mix.weights());
                float[] folded = bench.logits(prompt, merged.weights());
                assertThat(largest(plain, unmerged)).isGreaterThan(0.1);
                assertThat(largest(folded, unmerged)).isLessThan(1e-4);
            }
        }
    }

    @Test
    void obstaclesSayWhere() throws IOException {
        try (Bench bench = new Bench(ROOT.resolve("bases/llama"))) {
            try (LoadedAdapter series = AdapterFolder.open(ROOT.resolve("adapters/ref-llm-adapters-series-llama")).load("s", null, bench.base, bench.kernels)) {
                assertThat(Fold.obstacles(series.weights())).contains("at layers.0.gate: a bottleneck with the nonlinearity TANH is no linear map of its input");
                Fold fold = new Fold(bench.kernels);
                StoredLinear gate = StoredLinear.of(bench.base, new Site(0, Module.GATE));
                assertThatThrownBy(() -> fold.linear(gate, series.weights().at(0, Module.GATE)))
                        .isInstanceOf(IllegalArgumentException.class).hasMessageContaining("TANH");
            }
            try (LoadedAdapter prompt = AdapterFolder.open(ROOT.resolve("adapters/prompt-tuning-llama")).load("p", null, bench.base, bench.kernels)) {
                assertThat(Fold.obstacles(prompt.weights())).hasSize(1).first().asString().contains("embeddings before the prompt");
            }
        }
    }

    @Test
    void encodingsKeepWhatTheyCan() {
        float[] values = new float[64];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) Math.sin(i * 12.9898) * (i < 32 ? 0.3f : 3);
        }
        // Half a unit in the last place. Of Q8_0, half a step of 1/127 of the block's largest value, and that value times what a scale of half precision is off.
        Map<DType, Double> allowed = Map.of(DType.F32, 0.0, DType.F16, 0x1p-11, DType.BF16, 0x1p-8, DType.Q8_0, 0.5 / 127 + 0x1p-11);
        allowed.forEach((type, relative) -> {
            try (Arena arena = Arena.ofConfined()) {
                MemorySegment data = arena.allocate(type.bytes(64));
                Encoding.write(type, values, 64, data, 0);
                float[] back = Floats.all(new TensorView("t", type, new long[] {2, 32}, data));
                for (int i = 0; i < 64; i++) {
                    double scale = type == DType.Q8_0 ? (i < 32 ? 0.3 : 3) : Math.abs(values[i]);
                    assertThat((double) back[i]).as("%s of %s", type, values[i]).isCloseTo(values[i], within(relative * scale + 1e-7));
                }
            }
        });
        assertThat(Encoding.fitting(DType.Q8_0, 160)).isEqualTo(DType.Q8_0);
        assertThat(Encoding.fitting(DType.Q8_0, 170)).isEqualTo(DType.F16);
    }

    private static JsonNode json(Path folder) throws IOException {
        return new ObjectMapper().readTree(Files.readAllBytes(folder.resolve("case.json")));
    }

    private static double largest(float[] a, float[] b) {
        double largest = 0;
        for (int i = 0; i < a.length; i++) {
            largest = Math.max(largest, Math.abs(a[i] - b[i]));
        }
        return largest;
    }

    /** A base on the processor's kernels, and what it computes. */
    private static final class Bench implements AutoCloseable {
        final Kernels kernels = CpuKernels.open(2);
        final Checkpoint base;
        final BaseWeights weights;

        Bench(Path folder) throws IOException {
            base = Checkpoint.open(folder);
            weights = new BaseWeights(kernels, base);
        }

        MergedAdapter merged(AdapterWeights adapter) throws InterruptedException {
            return MergedAdapter.fold(adapter, MergedAdapter.folded(adapter), base, kernels, Precision.F32, Pace.NONE);
        }

        float[] logits(int[] prompt, AdapterWeights adapter) {
            var spec = base.spec();
            int n = prompt.length;
            int[] positions = new int[n];
            Arrays.setAll(positions, i -> i);
            float[] logits = new float[n * spec.vocabulary()];
            AdapterPlan plan = adapter == null ? AdapterPlan.NONE : new AdapterPlan(List.of(new Segment(adapter, 0, n)));
            try (Decoder decoder = new Decoder(kernels, spec, weights, n, n, 64);
                    KvCache cache = kernels.kvCache(spec.layers().size(), spec.kvHeads(), spec.headDim(), 2, 32).openAll()) {
                decoder.forward(new Batch(prompt, positions, new int[] {0, n}, new int[][] {{0, 1}}), plan, cache, positions, n, logits);
            }
            return logits;
        }

        void compare(Path folder, JsonNode json, AdapterWeights adapter) throws IOException {
            double absolute = json.path("tolerance").path("absolute").asDouble();
            double relative = json.path("tolerance").path("relative").asDouble();
            try (TensorFile file = SafeTensors.open(folder.resolve("expected.safetensors"))) {
                for (int i = 0; i < json.path("prompts").size(); i++) {
                    int[] prompt = new ObjectMapper().convertValue(json.path("prompts").get(i), int[].class);
                    float[] expected = Floats.all(file.find("logits." + i).orElseThrow());
                    float[] found = logits(prompt, adapter);
                    for (int j = 0; j < expected.length; j++) {
                        assertThat(Math.abs(found[j] - expected[j])).as("%s, prompt %d, logit %d", folder.getFileName(), i, j)
                                .isLessThanOrEqualTo((float) (absolute + relative * Math.abs(expected[j])));
                    }
                }
            }
        }

        /** An adapter that is nothing but other weights: what an offline merge writes. */
        AdapterWeights whole(AdapterWeights adapter, Arena arena) {
            Fold fold = new Fold(kernels);
            Map<Site, List<Form>> forms = new HashMap<>();
            for (Site site : adapter.sites()) {
                List<Form> at = adapter.at(site);
                if (site.module().norm()) {
                    Fold.NormValues norm = fold.norm(at);
                    forms.put(site, List.of(new Form.NormReplacement(vector(norm.weight()), norm.bias() == null ? null : vector(norm.bias()))));
                } else if (site.module() == Module.EMBED) {
                    LinearMap table = fold.embedding(StoredLinear.of(base, site), at);
                    forms.put(site, List.of(new Form.EmbeddingReplacement(kernels.rows(view(table, arena)))));
                } else {
                    LinearMap map = fold.linear(StoredLinear.of(base, site), at);
                    forms.put(site, List.of(new Form.Replacement(kernels.weight(view(map, arena)), map.bias() == null ? null : vector(map.bias()))));
                }
            }
            return new AdapterWeights(adapter.name(), base.spec().layers().size(), forms, null, new int[0]);
        }

        private static TensorView view(LinearMap map, Arena arena) {
            float[] values = new float[map.out() * map.in()];
            map.rows(0, map.out(), values);
            MemorySegment data = arena.allocate(4L * values.length, 64);
            MemorySegment.copy(values, 0, data, ValueLayout.JAVA_FLOAT, 0, values.length);
            return new TensorView("whole", DType.F32, new long[] {map.out(), map.in()}, data);
        }

        private Tensor vector(float[] values) {
            Tensor tensor = kernels.tensor(1, values.length);
            kernels.write(tensor, 0, 1, values);
            return tensor;
        }

        @Override
        public void close() {
            weights.close();
            base.close();
            kernels.close();
        }
    }
}
