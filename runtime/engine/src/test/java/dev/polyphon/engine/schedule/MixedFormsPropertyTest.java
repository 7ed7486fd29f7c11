package dev.polyphon.engine.schedule;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.polyphon.engine.adapter.AdapterFolder;
import dev.polyphon.engine.adapter.LoadedAdapter;
import dev.polyphon.engine.backend.Kernels;
import dev.polyphon.engine.backend.KvCache;
import dev.polyphon.engine.backend.cpu.CpuKernels;
import dev.polyphon.engine.model.AdapterPlan;
import dev.polyphon.engine.model.AdapterWeights;
import dev.polyphon.engine.model.AdapterWeights.Prefix;
import dev.polyphon.engine.model.ArchitectureSpec;
import dev.polyphon.engine.model.BaseWeights;
import dev.polyphon.engine.model.Checkpoint;
import dev.polyphon.engine.model.Decoder;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import net.jqwik.api.Arbitraries;
import net.jqwik.api.Arbitrary;
import net.jqwik.api.Combinators;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.Provide;
import net.jqwik.api.lifecycle.AfterContainer;
import net.jqwik.api.lifecycle.BeforeContainer;

/** Any batch of requests with adapters of any forms gives each row, bit for bit, the logits that it has alone. */
class MixedFormsPropertyTest {
    private static final Path GOLDEN = Path.of("src/test/resources/golden");
    private static final int BLOCK_SIZE = 16;
    private static final int MOST_REQUESTS = 10;
    private static final int LONGEST_PROMPT = 24;
    /** With the longest prefix of the adapters before it. */
    private static final int BLOCKS_EACH = 4;
    private static final int ROWS = MOST_REQUESTS * BLOCKS_EACH * BLOCK_SIZE;

    /** Those that the reference vectors have adapters of several forms on. */
    private static final List<String> OTHER_BASES = List.of("opt", "bloom", "gptj", "gpt2");

    private static Kernels kernels;
    private static final Map<String, Model> MODELS = new HashMap<>();

    /** @param adapter its number */
    record Request(int adapter, List<Integer> prompt) {}

    /** @param adapters every adapter of the reference vectors on this base; null for none */
    private record Model(Checkpoint base, BaseWeights weights, Decoder decoder, KvCache cache, List<LoadedAdapter> adapters) implements AutoCloseable {
        static Model open(String name) throws IOException {
            Checkpoint base = Checkpoint.open(GOLDEN.resolve("bases").resolve(name));
            BaseWeights weights = new BaseWeights(kernels, base);
            ArchitectureSpec spec = base.spec();
            Decoder decoder = new Decoder(kernels, spec, weights, ROWS, ROWS, spec.context());
            KvCache cache = kernels.kvCache(spec.layers().size(), spec.kvHeads(), spec.headDim(), MOST_REQUESTS * BLOCKS_EACH, BLOCK_SIZE).openAll();
            List<LoadedAdapter> adapters = new ArrayList<>();
            adapters.add(null);
            try (Stream<Path> cases = Files.list(GOLDEN.resolve("cases"))) {
                for (Path folder : cases.sorted().toList()) {
                    JsonNode json = new ObjectMapper().readTree(Files.readAllBytes(folder.resolve("case.json")));
                    if (json.path("base").asText().equals(name) && json.hasNonNull("adapter")) {
                        adapters.add(AdapterFolder.open(GOLDEN.resolve("adapters").resolve(json.path("adapter").asText()))
                                .load(folder.getFileName().toString(), json.path("task").textValue(), base, kernels));
                    }
                }
            }
            return new Model(base, weights, decoder, cache, adapters);
        }

        AdapterWeights adapter(Request request) {
            LoadedAdapter adapter = adapters.get(request.adapter % adapters.size());
            return adapter == null ? null : adapter.weights();
        }

        String name(Request request) {
            return adapter(request) == null ? "base" : adapter(request).name();
        }

        @Override
        public void close() {
            adapters.stream().skip(1).forEach(LoadedAdapter::close);
            cache.close();
            decoder.close();
            weights.close();
            base.close();
        }
    }

    @BeforeContainer
    static void open() throws IOException {
        kernels = CpuKernels.open(2);
        MODELS.put("llama", Model.open("llama"));
        assertThat(MODELS.get("llama").adapters()).hasSizeGreaterThan(70);
        for (String name : OTHER_BASES) {
            MODELS.put(name, Model.open(name));
            assertThat(MODELS.get(name).adapters()).hasSizeGreaterThan(5);
        }
    }

    @AfterContainer
    static void close() {
        MODELS.values().forEach(Model::close);
        MODELS.clear();
        kernels.close();
    }

    @Provide
    Arbitrary<String> otherBases() {
        return Arbitraries.of(OTHER_BASES);
    }

    @Provide
    Arbitrary<List<Request>> batches() {
        Arbitrary<List<Integer>> prompts = Arbitraries.integers().between(3, 319).list().ofMinSize(1).ofMaxSize(LONGEST_PROMPT);
        // Before the container is opened, the adapters are not counted yet: numbers are taken modulo.
        return Combinators.combine(Arbitraries.integers().between(0, 999), prompts).as(Request::new).list().ofMinSize(2).ofMaxSize(MOST_REQUESTS);
    }

    @Property(tries = 60)
    void eachRowIsAsItIsAlone(@ForAll("batches") List<Request> batch) {
        check(MODELS.get("llama"), batch);
    }

    @Property(tries = 40)
    void eachRowIsAsItIsAloneOnOtherBases(@ForAll("otherBases") String base, @ForAll("batches") List<Request> batch) {
        check(MODELS.get(base), batch);
    }

    private static void check(Model model, List<Request> batch) {
        List<float[]> together = logits(model, batch);
        for (int i = 0; i < batch.size(); i++) {
            Request request = batch.get(i);
            assertThat(together.get(i)).as("%s among %s", model.name(request), batch.stream().map(model::name).toList())
                    .isEqualTo(logits(model, List.of(request)).getFirst());
        }
    }

    /** Logits of every position of each prompt, all computed in one step. */
    private static List<float[]> logits(Model model, List<Request> requests) {
        List<Work> plan = new ArrayList<>();
        int block = 0;
        for (Request request : requests) {
            Sequence sequence = new Sequence(request.prompt.stream().mapToInt(Integer::intValue).toArray(), model.adapter(request));
            while (sequence.blockCount() * BLOCK_SIZE < sequence.length()) {
                sequence.addBlock(block++);
            }
            plan.add(new Work(sequence, sequence.computed(), sequence.pending()));
        }
        StepRows step = StepRows.of(plan);
        int rows = step.batch().rows();
        int vocabulary = model.base().spec().vocabulary();
        float[] out = new float[rows * vocabulary];
        for (Work work : plan) {
            if (work.from() > 0) {
                model.decoder().writePrefix((Prefix.KeysValues) work.sequence().adapter().prefix(), work.sequence().blocks(), model.cache());
            }
        }
        model.decoder().forward(step.batch(), new AdapterPlan(step.segments()), model.cache(), IntStream.range(0, rows).toArray(), rows, out);
        List<float[]> logits = new ArrayList<>();
        for (int i = 0; i < requests.size(); i++) {
            int end = step.batch().firstRow()[i + 1];
            logits.add(Arrays.copyOfRange(out, (end - requests.get(i).prompt.size()) * vocabulary, end * vocabulary));
        }
        return logits;
    }
}
