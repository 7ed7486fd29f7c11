package dev.polyphon.engine.adapter;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polyphon.engine.Operations;
import dev.polyphon.engine.adapter.ops.AlignMerge;
import dev.polyphon.engine.adapter.ops.Combine;
import dev.polyphon.engine.adapter.ops.Decompose;
import dev.polyphon.engine.adapter.ops.Generate;
import dev.polyphon.engine.adapter.ops.Inspect;
import dev.polyphon.engine.adapter.ops.LoraAdapter;
import dev.polyphon.engine.adapter.ops.Merge;
import dev.polyphon.engine.adapter.ops.Prune;
import dev.polyphon.engine.adapter.ops.Quantize;
import dev.polyphon.engine.adapter.ops.SavedAdapter;
import dev.polyphon.engine.backend.Kernels;
import dev.polyphon.engine.backend.reference.ReferenceKernels;
import dev.polyphon.engine.model.Checkpoint;
import dev.polyphon.engine.verify.Verdict;
import dev.polyphon.engine.verify.Verifier;
import dev.polyphon.engine.verify.Verifier.Mode;
import dev.polyphon.engine.weights.DType;
import dev.polyphon.engine.weights.Floats;
import dev.polyphon.engine.weights.TensorView;
import dev.polyphon.runtime.AdapterOperation;
import dev.polyphon.runtime.AdapterWeight;
import dev.polyphon.runtime.OperationProgress;
import dev.polyphon.runtime.Prompt;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.concurrent.CancellationException;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Operations on adapters: what they write is loaded again and computes what it should. */
class OperationsTest {
    private static final Path GOLDEN = Path.of("src/test/resources/golden").toAbsolutePath();
    private static final ObjectMapper JSON = new ObjectMapper();

    private static Kernels kernels;
    private static Checkpoint llama;

    @TempDir
    Path scratch;

    @BeforeAll
    static void open() throws IOException {
        kernels = new ReferenceKernels();
        llama = Checkpoint.open(GOLDEN.resolve("bases/llama"));
    }

    @AfterAll
    static void close() {
        llama.close();
        kernels.close();
    }

    private static AdapterFolder adapter(String name) throws IOException {
        return AdapterFolder.open(GOLDEN.resolve("adapters").resolve(name));
    }

    /** Runs a reference case with another adapter in the place of its own. */
    private List<Verdict> verify(String name, Path adapter) throws IOException {
        Path root = Files.createTempDirectory(scratch, "root");
        Files.createSymbolicLink(root.resolve("bases"), GOLDEN.resolve("bases"));
        Files.createDirectories(root.resolve("adapters"));
        Files.createSymbolicLink(root.resolve("adapters").resolve("made"), adapter);
        Path folder = Files.createDirectories(root.resolve("cases").resolve(name));
        ObjectNode json = (ObjectNode) JSON.readTree(Files.readAllBytes(GOLDEN.resolve("cases").resolve(name).resolve("case.json")));
        json.put("adapter", "made").remove(List.of("task", "combine"));
        Files.write(folder.resolve("case.json"), JSON.writeValueAsBytes(json));
        Files.copy(GOLDEN.resolve("cases").resolve(name).resolve("expected.safetensors"), folder.resolve("expected.safetensors"));
        return new Verifier(root, ReferenceKernels::new).run("*", EnumSet.of(Mode.ALONE), verdict -> {});
    }

    @ParameterizedTest
    @CsvSource({"pissa-llama,", "olora-llama,", "legacy-bin-llama,", "legacy-bin-bloom,", "adalora-llama,", "vera-llama,", "vblora-llama,", "loha-llama,",
        "miss-llama,", "fourierft-llama,", "rslora-llama,", "rank-pattern-llama,", "lora-gpt2,", "lora-phi3,", "ref-lte-llama,", "ref-hd-pissa-llama,",
        "ref-sparse-lora-llama,", "hub-lora-llama,", "ref-mhr-llama,task", "poly-llama,", "lokr-llama,", "c3a-llama,", "shira-llama,", "ref-mosa-llama,"})
    void convertsToLora(String name, String task) throws IOException {
        ObjectNode json = (ObjectNode) JSON.readTree(Files.readAllBytes(GOLDEN.resolve("cases").resolve(name).resolve("case.json")));
        try (Checkpoint base = Checkpoint.open(GOLDEN.resolve("bases").resolve(json.path("base").asText()))) {
            Map<String, Delta> deltas = adapter(name).deltas(task == null ? null : json.path("task").asText(), base, kernels, OperationProgress.NONE);
            Decompose.Result result = Decompose.of(deltas, 0, 1, OperationProgress.NONE);
            result.adapter().save(scratch.resolve("lora"), base);
        }
        assertThat(AdapterFolder.open(scratch.resolve("lora")).kind()).isEqualTo("LORA");
        assertThat(verify(name, scratch.resolve("lora"))).allSatisfy(v -> assertThat(v.failure()).as(v.toString()).isNull());
    }

    private Map<String, Object> convert(Path adapter, Checkpoint base) {
        return new Operations((tenant, name) -> AdapterFolder.open(Path.of(name)), base).perform("anyone",
                new AdapterOperation.Convert(new AdapterWeight(adapter.toString())), scratch.resolve("made"), OperationProgress.NONE);
    }

    @ParameterizedTest
    @CsvSource({"hub-prefix-llama, PREFIX_TUNING", "hub-prefix-flat-llama, PREFIX_TUNING", "prefix-projection-llama, PREFIX_TUNING",
        "prefix-tuning-bloom, PREFIX_TUNING", "prefix-tuning-gptj, PREFIX_TUNING", "p-tuning-llama, PROMPT_TUNING", "prompt-tuning-opt, PROMPT_TUNING"})
    void convertsWhatStandsBeforeThePrompt(String name, String kind) throws IOException {
        ObjectNode json = (ObjectNode) JSON.readTree(Files.readAllBytes(GOLDEN.resolve("cases").resolve(name).resolve("case.json")));
        try (Checkpoint base = Checkpoint.open(GOLDEN.resolve("bases").resolve(json.path("base").asText()))) {
            assertThat(convert(GOLDEN.resolve("adapters").resolve(name), base)).containsEntry("kind", kind).containsEntry("tensors", 1);
        }
        assertThat(AdapterFolder.open(scratch.resolve("made")).kind()).isEqualTo(kind);
        assertThat(verify(name, scratch.resolve("made"))).allSatisfy(v -> assertThat(v.failure()).as(v.toString()).isNull());
    }

    @Test
    void convertsAPickleThatIsMoreThanAChangeOfWeights() throws IOException {
        assertThat(convert(GOLDEN.resolve("adapters/legacy-bin-ia3-llama"), llama)).containsEntry("kind", "IA3");
        assertThat(scratch.resolve("made/adapter_model.safetensors")).isRegularFile();
        assertThat(verify("legacy-bin-ia3-llama", scratch.resolve("made"))).allSatisfy(v -> assertThat(v.failure()).as(v.toString()).isNull());
    }

    @ParameterizedTest
    @ValueSource(strings = {"hub-houlsby-llama", "hub-mam-llama"})
    void convertsAPickleOfAdapterHub(String name) throws IOException {
        assertThat(convert(GOLDEN.resolve("adapters").resolve(name), llama)).containsEntry("kind", "ADAPTERHUB");
        assertThat(scratch.resolve("made/adapter.safetensors")).isRegularFile();
        assertThat(verify(name, scratch.resolve("made"))).allSatisfy(v -> assertThat(v.failure()).as(v.toString()).isNull());
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            dora-llama         | at layers.0.down it scales outputs, for which PEFT's LoRA has no place; svd approximates what it comes to, merge folds it
            ia3-llama          | at layers.0.down it scales inputs, for which PEFT's LoRA has no place; svd
            hub-parallel-llama | at layers.0.down it has a bottleneck, for which PEFT's LoRA has no place
            ref-hydra-llama    | at layers.0.down it adds a bias, for which PEFT's LoRA has no place
            hub-loreft-llama   | at layers.0.block it has a bottleneck
            alora-llama        | it is active from its invocation on
            """)
    void doesNotConvertTheRest(String name, String why) {
        assertThatThrownBy(() -> convert(GOLDEN.resolve("adapters").resolve(name), llama))
                .hasMessageContaining("is more than a change of weights").hasMessageContaining(why);
        assertThat(scratch.resolve("made")).doesNotExist();
    }

    private Map<String, Object> svd(String name, int rank, double energy, Checkpoint base) {
        return new Operations((tenant, folder) -> AdapterFolder.open(Path.of(folder)), base).perform("anyone",
                new AdapterOperation.Svd(new AdapterWeight(GOLDEN.resolve("adapters").resolve(name).toString()), rank, energy), scratch.resolve("made"),
                OperationProgress.NONE);
    }

    @ParameterizedTest
    @ValueSource(strings = {"dora-llama", "dora-gpt2", "dora-opt", "ia3-llama", "oft-llama", "boft-llama", "hra-llama", "road-llama", "road-phi3"})
    void decomposesWhatItComesToWhereThatIsMoreThanAChangeOfWeights(String name) throws IOException {
        ObjectNode json = (ObjectNode) JSON.readTree(Files.readAllBytes(GOLDEN.resolve("cases").resolve(name).resolve("case.json")));
        try (Checkpoint base = Checkpoint.open(GOLDEN.resolve("bases").resolve(json.path("base").asText()))) {
            assertThat((double) svd(name, 0, 1, base).get("largestError")).isLessThan(1e-4);
        }
        assertThat(verify(name, scratch.resolve("made"))).allSatisfy(v -> assertThat(v.failure()).as(v.toString()).isNull());
    }

    @Test
    void tellsWhatAnApproximationLeavesOut() {
        Map<String, Object> facts = svd("oft-llama", 4, 1, llama);
        assertThat(facts).containsEntry("mostRank", 4);
        assertThat((double) facts.get("largestError")).isBetween(0.1, 1.0);
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            hub-parallel-llama  | a bottleneck with the nonlinearity
            prefix-tuning-llama | it puts keys and values of
            ref-hydra-llama     | it changes the bias
            ln-tuning-llama     | norm is not a linear layer
            """)
    void decomposesNothingThatIsMoreThanOtherWeights(String name, String why) {
        assertThatThrownBy(() -> svd(name, 4, 1, llama)).hasMessageContaining("is more than a change of weights").hasMessageContaining(why);
        assertThat(scratch.resolve("made")).doesNotExist();
    }

    @Test
    void readingIsToldOfAndEnds() {
        AdapterOperation combine = new AdapterOperation.Combine(Stream.of("mix-a", "mix-b").map(name -> new AdapterWeight(GOLDEN.resolve("adapters").resolve(name).toString()))
                .toList(), "cat", 1, "total", 0, 0);
        Operations operations = new Operations((tenant, name) -> AdapterFolder.open(Path.of(name)), llama);
        List<Integer> steps = new ArrayList<>();
        operations.perform("anyone", combine, scratch.resolve("made"), (done, total) -> {
            steps.add(done);
            assertThat(total).isEqualTo(steps.size() == 1 ? 1 : 300);
        });
        assertThat(steps).isSorted().contains(50, 100, 150, 200, 250, 300);
        assertThatThrownBy(() -> operations.perform("anyone", combine, scratch.resolve("ended"), (done, total) -> {
            if (done > 50) {
                throw new CancellationException("enough");
            }
        })).isInstanceOf(CancellationException.class);
        assertThat(scratch.resolve("ended")).doesNotExist();
    }

    @ParameterizedTest
    @ValueSource(strings = {"ref-hyper-adapters-llama", "ref-hyperformer-opt"})
    void generatesAPlainAdapterFromAHypernetwork(String name) throws IOException {
        List<Integer> steps = new ArrayList<>();
        ObjectNode json = (ObjectNode) JSON.readTree(Files.readAllBytes(GOLDEN.resolve("cases").resolve(name).resolve("case.json")));
        try (Checkpoint base = Checkpoint.open(GOLDEN.resolve("bases").resolve(json.path("base").asText()))) {
            Generate.save(adapter(json.path("adapter").asText()), json.path("task").asText(), base, scratch.resolve("plain"), (done, total) -> {
                assertThat(total).isEqualTo(base.spec().layers().size());
                steps.add(done);
            });
            assertThat(steps).isEqualTo(IntStream.rangeClosed(0, base.spec().layers().size()).boxed().toList());
        }
        assertThat(verify(name, scratch.resolve("plain"))).allSatisfy(v -> assertThat(v.failure()).as(v.toString()).isNull());
    }

    @ParameterizedTest
    @ValueSource(strings = {"dora-llama", "ia3-llama", "prefix-tuning-llama", "ref-hydra-llama", "hub-houlsby-llama"})
    void doesNotConvertWhatIsMoreThanAChangeOfWeights(String name) {
        assertThatThrownBy(() -> adapter(name).deltas(null, llama, kernels, OperationProgress.NONE)).isInstanceOf(AdapterFault.class)
                .hasMessageContaining(name + " is more than a change of weights");
    }

    @Test
    void decompositionKeepsWhatTheRankOrTheEnergyAllows() throws IOException {
        Map<String, Delta> deltas = adapter("lokr-llama").deltas(null, llama, kernels, OperationProgress.NONE);
        Decompose.Result most = Decompose.of(deltas, 0, 0.9, OperationProgress.NONE);
        most.errors().values().forEach(error -> assertThat(error * error).isLessThanOrEqualTo(0.1 + 1e-6));
        Decompose.Result three = Decompose.of(deltas, 3, 1, OperationProgress.NONE);
        three.adapter().modules().values().forEach(f -> assertThat(f.rank()).isEqualTo(3));
        deltas.forEach((path, delta) -> {
            Matrix best = delta.matrix().truncatedSvd(3).left().times(delta.matrix().truncatedSvd(3).right());
            double error = delta.matrix().plus(best.times(-1)).norm() / delta.matrix().norm();
            assertThat(three.errors().get(path)).isCloseTo(error, within(1e-4));
        });
    }

    @Test
    void aProductIsDecomposedLikeTheMatrixThatItIs() {
        Random random = new Random(3);
        LoraAdapter.Factors product = new LoraAdapter.Factors(random(5, 40, random), random(30, 5, random));
        Map<String, Delta> asProduct = Map.of("m", new Delta.LowRank(product.a(), product.b(), 1));
        Map<String, Delta> asMatrix = Map.of("m", new Delta.Dense(product.b().times(product.a())));
        assertThat(Decompose.of(asProduct, 2, 1, OperationProgress.NONE).errors().get("m"))
                .isCloseTo(Decompose.of(asMatrix, 2, 1, OperationProgress.NONE).errors().get("m"), within(1e-5));
    }

    private static Matrix random(int rows, int columns, Random random) {
        return Matrix.of(rows, columns, (r, c) -> random.nextGaussian());
    }

    @Test
    void dareKeepsItsShareAndRepeatsWithItsSeed() throws IOException {
        List<Combine.Part> parts = List.of(new Combine.Part("mix-a", adapter("mix-a").deltas(null, llama, kernels, OperationProgress.NONE), 1));
        LoraAdapter first = combine(parts, Combine.Method.DARE_LINEAR, 7);
        LoraAdapter again = combine(parts, Combine.Method.DARE_LINEAR, 7);
        LoraAdapter other = combine(parts, Combine.Method.DARE_LINEAR, 8);
        String path = first.modules().keySet().iterator().next();
        assertThat(first.modules().get(path).a().data()).isEqualTo(again.modules().get(path).a().data());
        assertThat(first.modules().get(path).a().data()).isNotEqualTo(other.modules().get(path).a().data());
        long all = first.modules().values().stream().mapToLong(f -> f.a().data().length).sum();
        long kept = first.modules().values().stream().mapToLong(f -> IntStream.range(0, f.a().data().length).filter(i -> f.a().data()[i] != 0).count()).sum();
        assertThat((double) kept / all).isBetween(0.3, 0.5);
        assertThat(combine(parts, Combine.Method.DARE_TIES, 7).modules()).hasSameSizeAs(first.modules());
    }

    /** The paper's own: of the changes of weights, entries are kept, enlarged by what was dropped, or zero. */
    @Test
    void dareDropsAndRescalesChangesOfWeights() throws AdapterFault {
        Random random = new Random(4);
        Matrix one = random(12, 9, random);
        Matrix two = random(12, 9, random);
        List<Combine.Part> parts = List.of(new Combine.Part("one", Map.of("m", new Delta.Dense(one)), 0.5), new Combine.Part("two", Map.of("m", new Delta.Dense(two)), -2));
        Combine.Options options = new Combine.Options(Combine.Method.of("dare"), 0.4, false, 9, 5);
        LoraAdapter.Factors factors = Combine.of(parts, options, OperationProgress.NONE).modules().get("m");
        Matrix sum = factors.b().times(factors.a());
        int kept = 0;
        for (int r = 0; r < 12; r++) {
            for (int c = 0; c < 9; c++) {
                float value = sum.at(r, c);
                double a = 0.5 * one.at(r, c) / 0.4;
                double b = -2 * two.at(r, c) / 0.4;
                assertThat(Math.min(Math.min(Math.abs(value), Math.abs(value - a)), Math.min(Math.abs(value - b), Math.abs(value - a - b)))).isLessThan(1e-4);
                kept += Math.abs(value) > 1e-4 ? 1 : 0;
            }
        }
        assertThat(kept / 108.0).as("1 - 0.6 * 0.6").isBetween(0.5, 0.78);
    }

    private static LoraAdapter combine(List<Combine.Part> parts, Combine.Method method, long seed) throws AdapterFault {
        return Combine.of(parts, new Combine.Options(method, 0.4, false, 0, seed), OperationProgress.NONE);
    }

    @Test
    void combinationsThatCannotBeAreRefused() throws IOException {
        List<Combine.Part> ranks = List.of(new Combine.Part("mix-a", adapter("mix-a").deltas(null, llama, kernels, OperationProgress.NONE), 1),
                new Combine.Part("mix-c", adapter("mix-c").deltas(null, llama, kernels, OperationProgress.NONE), 1));
        assertThatThrownBy(() -> combine(ranks, Combine.Method.LINEAR, 0)).isInstanceOf(AdapterFault.class).hasMessageContaining("rank 4 and 8");
        List<Combine.Part> dense = List.of(new Combine.Part("lokr", adapter("lokr-llama").deltas(null, llama, kernels, OperationProgress.NONE), 1));
        assertThatThrownBy(() -> combine(dense, Combine.Method.CAT, 0)).isInstanceOf(AdapterFault.class).hasMessageContaining("svd");
        assertThatThrownBy(() -> Combine.Method.of("average")).isInstanceOf(AdapterFault.class).hasMessageContaining("magnitude_prune");
    }

    @Test
    void pruningKeepsTheLargestAndIsReadBack() throws IOException {
        LoraAdapter lora = lora("lora-llama");
        Prune.Result pruned = Prune.of(lora, 0.7, llama, OperationProgress.NONE);
        assertThat((double) pruned.kept() / pruned.total()).isCloseTo(0.3, within(0.001));
        pruned.saved().save(scratch.resolve("pruned"));
        Map<String, Delta> read = AdapterFolder.open(scratch.resolve("pruned")).deltas(null, llama, kernels, OperationProgress.NONE);
        pruned.adapter().modules().forEach((path, factors) ->
                assertThat(read.get(path).matrix().plus(factors.b().times(factors.a()).times(-1)).norm()).as(path).isLessThan(1e-4));
        float smallest = Float.MAX_VALUE;
        for (LoraAdapter.Factors factors : pruned.adapter().modules().values()) {
            for (float value : factors.a().data()) {
                smallest = value == 0 ? smallest : Math.min(smallest, Math.abs(value));
            }
        }
        assertThat(smallest).isPositive();
        double nothing = Prune.of(lora, 0, llama, OperationProgress.NONE).kept();
        assertThat(nothing).isEqualTo(pruned.total());
        double ratio = Prune.largeSparse(lora, 2);
        assertThat(ratio).isCloseTo(1 - 2.0 / lora.modules().values().iterator().next().rank(), within(1e-9));
        assertThatThrownBy(() -> Prune.of(lora, 1, llama, OperationProgress.NONE)).hasMessageContaining("ratio");
    }

    /** What comes of an adapter of some layers says that it is of these. */
    @ParameterizedTest
    @ValueSource(strings = {"convert", "svd", "combine", "prune", "quantize", "align"})
    void whatIsMadeOfAnAdapterOfSomeLayersIsNoneThatLostTheOthers(String how) throws IOException {
        AdapterWeight some = new AdapterWeight(GOLDEN.resolve("adapters/layers-to-transform-llama").toString());
        AdapterOperation operation = switch (how) {
            case "convert" -> new AdapterOperation.Convert(some);
            case "svd" -> new AdapterOperation.Svd(some, 2, 1);
            case "combine" -> new AdapterOperation.Combine(List.of(some, some), "linear", 1, "total", 0, 0);
            case "prune" -> new AdapterOperation.Prune(some, 0.5, null);
            case "quantize" -> new AdapterOperation.Quantize(some, 8);
            default -> new AdapterOperation.AlignMerge(some, some, false, 0.5, List.of());
        };
        List<Integer> steps = new ArrayList<>();
        new Operations((tenant, name) -> AdapterFolder.open(Path.of(name)), llama).perform("anyone", operation, scratch.resolve("made"), (done, total) -> {
            steps.add(done);
            if (done == total) {
                steps.add(-1);
            }
        });
        assertThat(steps).as("it is told of the end").last().isEqualTo(-1);
        AdapterFolder made = AdapterFolder.open(scratch.resolve("made"));
        assertThat(Inspect.of(made, llama, OperationProgress.NONE).warnings()).isEmpty();
        try (LoadedAdapter loaded = made.load("made", null, llama, kernels)) {
            assertThat(loaded.weights().sites()).isNotEmpty().allMatch(site -> site.layer() == loaded.weights().sites().getFirst().layer());
        }
    }

    @Test
    void mergingIsToldOfToTheEnd() throws IOException {
        List<Integer> steps = new ArrayList<>();
        List<Integer> totals = new ArrayList<>();
        new Operations((tenant, name) -> AdapterFolder.open(Path.of(name)), llama).perform("anyone",
                new AdapterOperation.Merge(List.of(new AdapterWeight(GOLDEN.resolve("adapters/mix-a").toString())), null), scratch.resolve("model"), (done, total) -> {
                    steps.add(done);
                    totals.add(total);
                });
        assertThat(steps).isSorted().last().isEqualTo(totals.getLast());
    }

    private static LoraAdapter lora(String name) throws IOException {
        return Decompose.of(adapter(name).deltas(null, llama, kernels, OperationProgress.NONE), 0, 1, OperationProgress.NONE).adapter();
    }

    @ParameterizedTest
    @CsvSource({"lora-llama, 8, 0.01", "lora-llama, 1, 0.75", "rslora-llama, 8, 0.01"})
    void quantisedLoraIsReadBackWithTheErrorReported(String name, int bits, double most) throws IOException {
        Quantize.Result result = Quantize.of(adapter(name), bits, OperationProgress.NONE);
        assertThat(result.error()).isPositive().isLessThan(most);
        result.saved().save(scratch.resolve("small"));
        Map<String, Delta> before = adapter(name).deltas(null, llama, kernels, OperationProgress.NONE);
        Map<String, Delta> after = AdapterFolder.open(scratch.resolve("small")).deltas(null, llama, kernels, OperationProgress.NONE);
        assertThat(after.keySet()).isEqualTo(before.keySet());
        String path = before.keySet().iterator().next();
        Matrix a = ((Delta.LowRank) before.get(path)).a();
        Matrix stored = ((Delta.LowRank) after.get(path)).a();
        assertThat(stored.plus(a.times(-1)).norm() / a.norm()).isCloseTo(result.errors().get("base_model.model." + path + ".lora_A"), within(1e-5));
        double change = after.get(path).matrix().plus(before.get(path).matrix().times(-1)).norm() / before.get(path).matrix().norm();
        assertThat(change).isLessThan(2 * most);
    }

    @Test
    void aQuantisedBottleneckIsReadBackAndCloseToTheCase() throws IOException {
        Quantize.of(adapter("ref-llm-adapters-series-llama"), 8, OperationProgress.NONE).saved().save(scratch.resolve("eight"));
        Verdict verdict = verify("ref-llm-adapters-series-llama", scratch.resolve("eight")).getFirst();
        assertThat(verdict.error()).isPositive().isLessThan(0.2);
    }

    @Test
    void oneBitLevelsLeaveTheLeastError() throws IOException {
        Random random = new Random(5);
        SavedAdapter tiny = new SavedAdapter((ObjectNode) JSON.readTree("{\"peft_type\": \"LORA\", \"r\": 3, \"lora_alpha\": 3}"));
        Matrix a = random(3, 4, random);
        tiny.put("m.lora_A.weight", a);
        tiny.save(scratch.resolve("tiny"));
        double reported = Quantize.of(AdapterFolder.open(scratch.resolve("tiny")), 1, OperationProgress.NONE).errors().get("m.lora_A");
        double best = Double.MAX_VALUE;
        for (int set = 1; set < 1 << 12; set++) {
            double[] sums = new double[2];
            int[] counts = new int[2];
            for (int i = 0; i < 12; i++) {
                sums[set >> i & 1] += a.data()[i];
                counts[set >> i & 1]++;
            }
            double square = 0;
            for (int i = 0; i < 12; i++) {
                double level = sums[set >> i & 1] / counts[set >> i & 1];
                square += (a.data()[i] - level) * (a.data()[i] - level);
            }
            best = Math.min(best, Math.sqrt(square) / a.norm());
        }
        assertThat(reported).isCloseTo(best, within(1e-6));
    }

    /** The rows of each down matrix, and the columns of the up matrix that belongs to it, in another order; the same adapter, that is. */
    private static SavedAdapter permuted(SavedAdapter saved, String down, String up) {
        SavedAdapter permuted = new SavedAdapter(saved.config());
        Random random = new Random(11);
        Map<String, int[]> orders = new TreeMap<>();
        String bias = down.replace(".weight", ".bias");
        saved.tensors().forEach((name, tensor) -> {
            boolean isDown = name.endsWith(down) || name.endsWith(bias);
            if (!isDown && !name.endsWith(up)) {
                permuted.put(tensor);
                return;
            }
            Matrix matrix = tensor.rank() == 2 ? matrix(tensor) : new Matrix(tensor.dim(0), 1, Floats.all(tensor));
            int[] order = orders.computeIfAbsent(name.replace(down, "").replace(bias, "").replace(up, ""), s -> {
                List<Integer> list = new ArrayList<>(IntStream.range(0, isDown ? matrix.rows() : matrix.columns()).boxed().toList());
                Collections.shuffle(list, random);
                return list.stream().mapToInt(Integer::intValue).toArray();
            });
            permuted.put(name, tensor.shape(), (isDown ? matrix.rows(order) : matrix.transposed().rows(order).transposed()).data());
        });
        return permuted;
    }

    private static Matrix matrix(TensorView tensor) {
        return new Matrix(tensor.dim(0), tensor.dim(1), Floats.all(tensor));
    }

    /** AdapterHub's adapter by another name, which its tensors have in theirs. */
    private static SavedAdapter called(String name, SavedAdapter saved) {
        SavedAdapter other = new SavedAdapter(saved.config().deepCopy());
        String old = "." + other.config().path("name").asText() + ".";
        other.config().put("name", name);
        saved.tensors().values().forEach(t -> other.put(new TensorView(t.name().replace(old, "." + name + "."), t.dtype(), t.shape(), t.data())));
        return other;
    }

    @Test
    void alignsNoOtherKindOfAdapterHub() {
        Path compacter = GOLDEN.resolve("adapters/hub-compacter-llama");
        assertThatThrownBy(() -> align(compacter, compacter, false, List.of(), OperationProgress.NONE)).hasMessageContaining("ADAPTERHUB with phm_layer")
                .hasMessageContaining("two of AdapterHub's bottlenecks can");
        Path parallel = GOLDEN.resolve("adapters/hub-parallel-llama");
        assertThatThrownBy(() -> align(parallel, parallel, false, TEXTS, OperationProgress.NONE)).hasMessageContaining("only by their weights");
        assertThatThrownBy(() -> align(parallel, GOLDEN.resolve("adapters/hub-channel-llama"), false, List.of(), OperationProgress.NONE))
                .hasMessageContaining("differ in config");
    }

    private Map<String, Object> align(Path first, Path second, boolean sinkhorn, List<Prompt> texts, OperationProgress progress) {
        return new Operations((tenant, name) -> AdapterFolder.open(Path.of(name)), llama).perform("anyone",
                new AdapterOperation.AlignMerge(new AdapterWeight(first.toString()), new AdapterWeight(second.toString()), sinkhorn, 0.5, texts),
                scratch.resolve("merged"), progress);
    }

    private static final List<Prompt> TEXTS = List.of(new Prompt.Tokens(IntStream.range(1, 60).toArray()), new Prompt.Tokens(new int[] {7}));

    @ParameterizedTest
    @CsvSource({"ref-llm-adapters-parallel-llama, false, false", "ref-llm-adapters-parallel-llama, true, false", "ref-llm-adapters-parallel-llama, false, true",
        "hub-parallel-llama, false, false", "hub-houlsby-llama, true, false", "hub-pfeiffer-scaled-llama, false, false", "hub-pfeiffer-gpt2, false, false",
        "ref-llm-adapters-series-llama, false, true", "lora-llama, false, true", "lora-llama, true, true", "dora-llama, false, true"})
    void alignmentUndoesAPermutation(String name, boolean sinkhorn, boolean activations) throws IOException {
        SavedAdapter saved = SavedAdapter.read(adapter(name));
        boolean normed = saved.config().path("config").path("ln_before").asBoolean();
        SavedAdapter permuted = switch (saved.kind()) {
            case "LORA" -> permuted(saved, ".lora_A.weight", ".lora_B.weight");
            case "ADAPTERHUB" -> called("other", permuted(saved, ".adapter_down." + (normed ? 1 : 0) + ".weight", ".adapter_up.weight"));
            default -> permuted(saved, ".adapter_down.weight", ".adapter_up.weight");
        };
        permuted.save(scratch.resolve("permuted"));
        Map<String, Object> facts = align(GOLDEN.resolve("adapters").resolve(name), scratch.resolve("permuted"), sinkhorn, activations ? TEXTS : List.of(),
                OperationProgress.NONE);
        assertThat(facts.get("calibrationTokens")).isEqualTo(activations ? 60 : null);
        assertThat(verify(name, scratch.resolve("merged"))).allSatisfy(v -> assertThat(v.failure()).as(v.toString()).isNull());
    }

    @Test
    void textsShowWhatWeightsHide() throws IOException {
        SavedAdapter saved = SavedAdapter.read(adapter("lora-llama"));
        SavedAdapter permuted = permuted(saved, ".lora_A.weight", ".lora_B.weight");
        SavedAdapter misleading = new SavedAdapter(saved.config());
        // What the neurons read is permuted, what they write is in the first's order, and so large that the weights' distances show nothing else.
        permuted.tensors().forEach((name, tensor) ->
                misleading.put(name, name.contains(".lora_A.") ? matrix(tensor) : matrix(saved.tensors().get(name)).times(1e3)));
        misleading.save(scratch.resolve("misleading"));
        AdapterFolder first = adapter("lora-llama");
        String down = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight";
        AlignMerge.Options byWeights = new AlignMerge.Options(false, 0.5, Map.of());
        SavedAdapter wrong = AlignMerge.of(first, AdapterFolder.open(scratch.resolve("misleading"))).merge(byWeights, OperationProgress.NONE);
        assertThat(matrix(wrong.tensors().get(down)).plus(matrix(saved.tensors().get(down)).times(-1)).norm()).isGreaterThan(0.1);
        align(first.path(), scratch.resolve("misleading"), false, TEXTS, OperationProgress.NONE);
        SavedAdapter right = SavedAdapter.read(AdapterFolder.open(scratch.resolve("merged")));
        assertThat(matrix(right.tensors().get(down)).data()).isEqualTo(matrix(saved.tensors().get(down)).data());
    }

    @Test
    void alignmentOnTextsIsToldOfAndEnds() {
        Path one = GOLDEN.resolve("adapters/mix-a");
        Path other = GOLDEN.resolve("adapters/mix-b");
        List<Integer> totals = new ArrayList<>();
        List<Integer> steps = new ArrayList<>();
        List<Prompt> both = List.of(new Prompt.Tokens(IntStream.range(0, 100).map(i -> i % 50).toArray()), new Prompt.Tokens(IntStream.range(0, 200).map(i -> i % 50).toArray()));
        align(one, other, false, both, (done, total) -> {
            steps.add(done);
            totals.add(total);
        });
        assertThat(steps).isSorted().contains(100, 228, 300, 306);
        assertThat(totals.subList(1, totals.size())).containsOnly(306);
        assertThatThrownBy(() -> align(one, other, false, List.of(new Prompt.Tokens(new int[] {1, 100_000})), OperationProgress.NONE))
                .hasMessageContaining("calibration has token 100000");
        assertThatThrownBy(() -> align(one, other, false, List.of(new Prompt.Tokens(new int[0])), OperationProgress.NONE)).hasMessageContaining("text 1 has 0 tokens");
        assertThatThrownBy(() -> align(one, other, false, List.of(new Prompt.Text("x", true)), OperationProgress.NONE)).hasMessageContaining("no tokenizer");
    }

    @Test
    void aCancelledAlignmentOnTextsLeavesNothing() throws IOException {
        assertThatThrownBy(() -> align(GOLDEN.resolve("adapters/mix-a"), GOLDEN.resolve("adapters/mix-b"), false, TEXTS, (done, total) -> {
            if (done == 59) {
                throw new CancellationException("enough");
            }
        })).isInstanceOf(CancellationException.class);
        try (Stream<Path> left = Files.list(scratch)) {
            assertThat(left).isEmpty();
        }
    }

    @Test
    void alignmentNeedsAdaptersOfOneShape() throws IOException {
        assertThatThrownBy(() -> AlignMerge.of(adapter("mix-a"), adapter("mix-c"))).hasMessageContaining("differ in r");
        assertThatThrownBy(() -> AlignMerge.of(adapter("mix-a"), adapter("ia3-llama"))).hasMessageContaining("IA3");
        Quantize.of(adapter("mix-a"), 8, OperationProgress.NONE).saved().save(scratch.resolve("small"));
        assertThatThrownBy(() -> AlignMerge.of(AdapterFolder.open(scratch.resolve("small")), AdapterFolder.open(scratch.resolve("small"))))
                .hasMessageContaining("quantised adapters cannot be aligned");
        SavedAdapter broken = SavedAdapter.read(adapter("mix-a"));
        TensorView some = broken.tensors().values().iterator().next();
        float[] values = Floats.all(some);
        values[3] = Float.NaN;
        broken.put(some.name(), some.shape(), values);
        broken.save(scratch.resolve("broken"));
        assertThatThrownBy(() -> AlignMerge.of(adapter("mix-a"), AdapterFolder.open(scratch.resolve("broken")))).hasMessageContaining("holds NaN");
    }

    @Test
    void tellsWhatAFolderHolds() throws IOException {
        Inspect.Report report = Inspect.of(adapter("mix-a"), null, OperationProgress.NONE);
        assertThat(report.kind()).isEqualTo("LORA");
        assertThat(report.ranks()).isEqualTo(Map.of(4, 6));
        assertThat(report.parameters()).isEqualTo(report.bytes() / 4);
        assertThat(report.modules()).containsEntry("base_model.model.model.layers.*.self_attn.q_proj.lora_A.weight", 2);
        assertThat(Inspect.of(adapter("ref-mhr-llama"), null, OperationProgress.NONE).tasks()).contains("task2");
    }

    @ParameterizedTest
    @CsvSource({"adalora-llama, LowRankDelta", "vera-llama, LowRankDelta", "ref-llm-adapters-series-llama, Bottleneck", "hub-houlsby-llama, Bottleneck"})
    @SuppressWarnings("unchecked")
    void withABaseRanksAndBottlenecksAreThoseThatAreComputed(String name, String form) {
        Map<String, Object> facts = new Operations((tenant, one) -> adapter(one), llama).perform("anyone", new AdapterOperation.Inspect(new AdapterWeight(name)), null,
                OperationProgress.NONE);
        Map<Integer, Integer> widths = (Map<Integer, Integer>) facts.get(form.equals("Bottleneck") ? "bottlenecks" : "ranks");
        assertThat(widths).hasSize(1).doesNotContainKey(0);
        long at = ((Map<String, Map<String, Integer>>) facts.get("sites")).values().stream().filter(forms -> forms.containsKey(form)).mapToInt(forms -> forms.get(form)).sum();
        assertThat(widths.values()).containsExactly((int) at);
    }

    @Test
    void tellsOfStoredEntriesNotOfHowTheyAreStored() throws IOException {
        Inspect.Report plain = Inspect.of(adapter("lora-llama"), null, OperationProgress.NONE);
        for (int bits : new int[] {8, 1}) {
            Path small = scratch.resolve("small" + bits);
            Quantize.of(adapter("lora-llama"), bits, OperationProgress.NONE).saved().save(small);
            Inspect.Report report = Inspect.of(AdapterFolder.open(small), null, OperationProgress.NONE);
            assertThat(report.ranks()).isEqualTo(plain.ranks());
            assertThat(report.parameters()).isEqualTo(plain.parameters());
            assertThat(report.bytes()).isLessThan(plain.bytes() / (bits == 8 ? 2 : 4));
            assertThat(report.norm()).isCloseTo(plain.norm(), within((bits == 8 ? 0.001 : 0.25) * plain.norm()));
        }
        Prune.Result pruned = Prune.of(lora("lora-llama"), 0.7, llama, OperationProgress.NONE);
        pruned.saved().save(scratch.resolve("pruned"));
        Inspect.Report report = Inspect.of(AdapterFolder.open(scratch.resolve("pruned")), null, OperationProgress.NONE);
        assertThat(report.ranks()).isEqualTo(plain.ranks());
        assertThat(report.parameters()).isEqualTo(pruned.kept());
        double squares = 0;
        for (LoraAdapter.Factors factors : pruned.adapter().modules().values()) {
            squares += Math.pow(factors.a().norm(), 2) + Math.pow(factors.b().norm(), 2);
        }
        assertThat(report.norm()).isCloseTo(Math.sqrt(squares), within(1e-4));
        assertThat(Inspect.of(adapter("ref-one-bit-llama"), null, OperationProgress.NONE).norm()).isPositive();
    }

    @Test
    void aCancelledOperationLeavesNothing() throws IOException {
        OperationProgress cancel = (done, total) -> {
            if (done == 2) {
                throw new CancellationException("enough");
            }
        };
        assertThatThrownBy(() -> Prune.of(lora("lora-llama"), 0.5, llama, cancel)).isInstanceOf(CancellationException.class);
        assertThatThrownBy(() -> Quantize.of(adapter("lora-llama"), 8, cancel)).isInstanceOf(CancellationException.class);
        AdapterFolder network = adapter("ref-hyper-adapters-llama");
        String task = network.tasks().getFirst();
        assertThatThrownBy(() -> Generate.save(network, task, llama, scratch.resolve("plain"), cancel)).isInstanceOf(CancellationException.class);
        SavedAdapter broken = new SavedAdapter((ObjectNode) JSON.readTree("{}"));
        broken.put(new TensorView("q", DType.Q8_0, new long[] {32}, MemorySegment.ofArray(new byte[34])));
        assertThatThrownBy(() -> broken.save(scratch.resolve("half"))).isInstanceOf(IllegalArgumentException.class);
        try (Stream<Path> left = Files.list(scratch)) {
            assertThat(left).isEmpty();
        }
    }

    @Test
    void doesNotOverwrite() throws IOException {
        Path there = Files.createDirectory(scratch.resolve("there"));
        SavedAdapter saved = SavedAdapter.read(adapter("mix-a"));
        assertThatThrownBy(() -> saved.save(there)).isInstanceOf(IOException.class).hasMessageContaining("exists already");
    }

    @Test
    void aCancelledMergeLeavesNothing() throws IOException {
        Path to = scratch.resolve("merged");
        try (LoadedAdapter adapter = AdapterFolder.open(GOLDEN.resolve("adapters/mix-a")).load("mix-a", null, llama, kernels)) {
            assertThatThrownBy(() -> Merge.write(adapter.weights(), llama, kernels, null, to, (done, total) -> {
                if (done == total / 2) {
                    throw new CancellationException("cancelled");
                }
            })).isInstanceOf(CancellationException.class);
        }
        try (Stream<Path> left = Files.list(scratch)) {
            assertThat(left).isEmpty();
        }
    }
}
