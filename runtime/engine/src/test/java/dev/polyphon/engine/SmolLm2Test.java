package dev.polyphon.engine;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.polyphon.engine.backend.Batch;
import dev.polyphon.engine.backend.Kernels;
import dev.polyphon.engine.backend.KvCache;
import dev.polyphon.engine.backend.cpu.CpuKernels;
import dev.polyphon.engine.merge.Precision;
import dev.polyphon.engine.model.AdapterPlan;
import dev.polyphon.engine.model.ArchitectureSpec;
import dev.polyphon.engine.model.BaseWeights;
import dev.polyphon.engine.model.Checkpoint;
import dev.polyphon.engine.model.Decoder;
import dev.polyphon.engine.schedule.merge.MergeOptions;
import dev.polyphon.runtime.AdapterRegistration;
import dev.polyphon.runtime.AdapterWeight;
import dev.polyphon.runtime.GenerationRequest;
import dev.polyphon.runtime.MergeMode;
import dev.polyphon.runtime.Prompt;
import dev.polyphon.runtime.Sampling;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The default base against reference outputs; runs where its file is, which {@code ./polyphon serve} fetches. */
class SmolLm2Test {
    private static final String FILE = "SmolLM2-135M-Instruct.Q4_1.gguf";
    private static Path model;
    private static JsonNode cases;

    @BeforeAll
    static void findModel() throws IOException {
        model = TestModels.find(FILE);
        Assumptions.assumeTrue(model != null, FILE + " is not in the model cache");
        cases = new ObjectMapper().readTree(Path.of("src/test/resources/golden/smollm2/expected.json").toFile()).path("cases");
    }

    @Test
    void tokenisesAsTheReference() throws IOException {
        try (ModelText text = ModelText.open(model)) {
            for (JsonNode one : cases) {
                assertThat(text.encode(new Prompt.Text(one.path("prompt").asText(), false))).containsExactly(ids(one.path("prompt_ids")));
            }
        }
    }

    /** The largest logits of every step, along the reference's own path of tokens. */
    @Test
    void computesTheReferencesLogits() throws IOException {
        try (Kernels kernels = CpuKernels.open(2);
                Checkpoint checkpoint = Checkpoint.open(model);
                BaseWeights weights = new BaseWeights(kernels, checkpoint)) {
            ArchitectureSpec spec = checkpoint.spec();
            for (JsonNode one : cases) {
                int[] prompt = ids(one.path("prompt_ids"));
                int[] greedy = ids(one.path("greedy_ids"));
                int[] all = Arrays.copyOf(prompt, prompt.length + greedy.length - 1);
                System.arraycopy(greedy, 0, all, prompt.length, greedy.length - 1);
                int[] positions = new int[all.length];
                Arrays.setAll(positions, i -> i);
                int[] wanted = new int[greedy.length];
                Arrays.setAll(wanted, i -> prompt.length - 1 + i);
                float[] logits = new float[greedy.length * spec.vocabulary()];
                int blocks = all.length / 16 + 1;
                int[] table = new int[blocks];
                Arrays.setAll(table, i -> i);
                try (Decoder decoder = new Decoder(kernels, spec, weights, all.length, greedy.length, 1024);
                        KvCache cache = kernels.kvCache(spec.layers().size(), spec.kvHeads(), spec.headDim(), blocks, 16).openAll()) {
                    decoder.forward(new Batch(all, positions, new int[] {0, all.length}, new int[][] {table}), AdapterPlan.NONE, cache, wanted,
                            greedy.length, logits);
                }
                for (int step = 0; step < greedy.length; step++) {
                    JsonNode expected = one.path("steps").get(step);
                    for (int i = 0; i < expected.path("ids").size(); i++) {
                        float logit = logits[step * spec.vocabulary() + expected.path("ids").get(i).asInt()];
                        assertThat(logit).as("step %d, rank %d", step, i)
                                .isCloseTo((float) expected.path("logits").get(i).asDouble(), within(0.15f));
                    }
                }
            }
        }
    }

    private static int[] ids(JsonNode list) {
        return StreamSupport.stream(list.spliterator(), false).mapToInt(JsonNode::asInt).toArray();
    }

    /** A copy of a quantised base's weights that an adapter is folded into computes what base and adapter do, but for what its precision costs. */
    @ParameterizedTest
    @CsvSource({"KEEP, 0.003", "Q8_0, 0.1"})
    void anAdapterIsMergedIntoAQuantisedBase(Precision precision, float most) throws Exception {
        var options = new MergeOptions(MergeMode.NEVER, 1 << 30, precision, 1, 0.5, 0.03, Duration.ofSeconds(30));
        try (Engine engine = Engine.open(EngineOptions.of("smollm2", model).withKv(64 << 20, 16), options, CpuKernels.open(2))) {
            engine.adapters().register(AdapterRegistration.folder("french", "smollm2", Path.of("../../configs/adapters/french").toAbsolutePath().normalize()));
            List<AdapterWeight> french = List.of(new AdapterWeight("french"));
            Collected unmerged = french(engine, french);
            engine.merges().merge("", french);
            for (long end = System.nanoTime() + 60_000_000_000L; engine.merges().status().merged() == 0 && System.nanoTime() < end; ) {
                Thread.sleep(5);
            }
            Collected merged = french(engine, french);
            assertThat(merged.tokens).isEqualTo(unmerged.tokens);
            assertThat(merged.bits()).isNotEqualTo(unmerged.bits());
            for (int i = 0; i < merged.tokens.size(); i++) {
                assertThat(merged.logprobs.get(i).chosen().logprob()).isCloseTo(unmerged.logprobs.get(i).chosen().logprob(), within(most));
            }
        }
    }

    private static Collected french(Engine engine, List<AdapterWeight> adapters) {
        Collected sink = new Collected();
        engine.generate(new GenerationRequest("r", "t", "smollm2", adapters, new Prompt.Text("The capital of France is", false),
                Sampling.builder().temperature(0).logprobs(1).maxTokens(16).ignoreEos(true).build(), 1), sink);
        sink.join();
        return sink;
    }
}
