package dev.polyphon.engine.verify;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.polyphon.engine.Engine;
import dev.polyphon.engine.EngineOptions;
import dev.polyphon.engine.backend.cpu.CpuKernels;
import dev.polyphon.engine.model.Checkpoint;
import dev.polyphon.engine.model.Module;
import dev.polyphon.engine.model.Site;
import dev.polyphon.engine.weights.Floats;
import dev.polyphon.runtime.AdapterRegistration;
import dev.polyphon.runtime.AdapterWeight;
import dev.polyphon.runtime.EmbeddingRequest;
import dev.polyphon.runtime.FinishReason;
import dev.polyphon.runtime.GenerationRequest;
import dev.polyphon.runtime.Pooling;
import dev.polyphon.runtime.Prompt;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.runtime.RuntimeObserver;
import dev.polyphon.runtime.Sampling;
import dev.polyphon.runtime.Scheduling;
import dev.polyphon.runtime.TokenEvent;
import dev.polyphon.runtime.TokenSink;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Embeddings are the hidden states that the reference's logits come from, and do not depend on what else is computed. */
class EmbeddingsTest {
    private static final Path GOLDEN = Path.of("src/test/resources/golden");

    private static final class Sink implements TokenSink {
        final CompletableFuture<float[]> values = new CompletableFuture<>();
        final CompletableFuture<FinishReason> end = new CompletableFuture<>();
        int cached;

        @Override
        public void started(int promptTokens, int cachedTokens) {
            cached = cachedTokens;
        }

        @Override
        public void token(TokenEvent event) {}

        @Override
        public void embedded(float[] vector) {
            values.complete(vector);
        }

        @Override
        public void finished(int choice, String text, FinishReason reason, int generatedTokens) {
            assertThat(values).isDone();
            end.complete(reason);
        }

        @Override
        public void failed(RuntimeFault fault) {
            values.completeExceptionally(fault);
        }
    }

    private static Engine open(EngineOptions options) throws IOException {
        return Engine.open(options, CpuKernels.open(2));
    }

    private static EngineOptions options(String base) {
        return EngineOptions.of("tiny", GOLDEN.resolve("bases").resolve(base)).withKv(1 << 22, 16);
    }

    private static Sink embed(Engine engine, String adapter, int[] prompt, Pooling pooling, boolean normalize) {
        Sink sink = new Sink();
        engine.embed(new EmbeddingRequest("e", "tiny", adapter == null ? List.of() : List.of(new AdapterWeight(adapter)), new Prompt.Tokens(prompt), pooling,
                normalize, Scheduling.of("t")), sink);
        return sink;
    }

    /** The model's last layer is linear, so that of a mean of hidden states is the mean of the logits. */
    @ParameterizedTest
    @ValueSource(strings = {"base-llama", "base-gpt2", "base-bloom", "base-opt", "base-qwen3", "base-mixtral", "base-gpt_neox", "lora-llama", "ia3-llama",
        "ln-tuning-llama", "prefix-tuning-llama", "prompt-tuning-llama", "hub-pfeiffer-gpt2", "alora-llama"})
    void agreeWithTheReferencesLogits(String name) throws IOException {
        ReferenceCase reference = ReferenceCase.read(GOLDEN.resolve("cases").resolve(name));
        List<float[]> expected = reference.expected();
        Path base = GOLDEN.resolve("bases").resolve(reference.base());
        try (Checkpoint checkpoint = Checkpoint.open(base); Engine engine = open(options(reference.base()))) {
            assertThat(checkpoint.spec().logitSoftCap()).isZero();
            float[] head = Floats.all(checkpoint.required(Site.of(checkpoint.spec().tied() ? Module.EMBED : Module.HEAD)).weight());
            int width = checkpoint.spec().hidden();
            assertThat(engine.models().getFirst().width()).isEqualTo(width);
            String adapter = reference.adapterName().orElse(null);
            if (adapter != null) {
                engine.adapters().register(AdapterRegistration.folder(adapter, "tiny", GOLDEN.resolve("adapters").resolve(adapter)));
            }
            for (int p = 0; p < reference.prompts().length; p++) {
                int[] prompt = reference.prompts()[p];
                float[] mean = embed(engine, adapter, prompt, Pooling.MEAN, false).values.join();
                float[] last = embed(engine, adapter, prompt, Pooling.LAST, false).values.join();
                int vocabulary = head.length / width;
                for (int token = 0; token < vocabulary; token++) {
                    double sum = 0;
                    for (int position = 0; position < prompt.length; position++) {
                        sum += expected.get(p)[position * vocabulary + token];
                    }
                    double tolerance = 2 * (reference.absolute() + reference.relative() * Math.abs(sum / prompt.length));
                    assertThat(dot(head, token, mean)).as("mean, token %d", token).isCloseTo(sum / prompt.length, within(tolerance));
                    float of = expected.get(p)[(prompt.length - 1) * vocabulary + token];
                    assertThat(dot(head, token, last)).as("last, token %d", token)
                            .isCloseTo(of, within(2 * (reference.absolute() + reference.relative() * Math.abs(of))));
                }
                assertThat(mean).isNotEqualTo(last);
            }
        }
    }

    private static double dot(float[] head, int token, float[] vector) {
        double sum = 0;
        for (int i = 0; i < vector.length; i++) {
            sum += (double) head[token * vector.length + i] * vector[i];
        }
        return sum;
    }

    /** Whatever the chunks, the neighbours and the shortage of blocks: bit for bit the same. */
    @Test
    void dependOnNothingElse() throws IOException {
        Random random = new Random(3);
        List<int[]> prompts = new ArrayList<>();
        for (int i = 0; i < 12; i++) {
            prompts.add(random.ints(1 + random.nextInt(60), 3, 320).toArray());
        }
        List<float[]> alone = new ArrayList<>();
        try (Engine engine = open(options("llama").withSteps(1, 64))) {
            register(engine);
            for (int i = 0; i < prompts.size(); i++) {
                alone.add(embed(engine, adapter(i), prompts.get(i), pooling(i), i % 2 == 0).values.join());
            }
        }
        int preempted = 0;
        for (EngineOptions options : List.of(options("llama").withSteps(32, 256), options("llama").withSteps(4, 7), options("llama").withSteps(16, 40).withKv(1 << 16, 4))) {
            try (Engine engine = open(options)) {
                register(engine);
                int[] count = new int[1];
                engine.observe(new RuntimeObserver() {
                    @Override
                    public void preempted(String tenant) {
                        count[0]++;
                    }
                });
                List<Sink> neighbours = new ArrayList<>();
                List<Sink> sinks = new ArrayList<>();
                for (int i = 0; i < prompts.size(); i++) {
                    Sink neighbour = new Sink();
                    neighbours.add(neighbour);
                    engine.generate(new GenerationRequest("g", "t", "tiny", i % 2 == 0 ? List.of() : List.of(new AdapterWeight("lora-llama")),
                            new Prompt.Tokens(prompts.get(i)), Sampling.builder().temperature(0).maxTokens(40).ignoreEos(true).build(), 1), new TokenSink() {
                                @Override
                                public void started(int promptTokens, int cachedTokens) {}

                                @Override
                                public void token(TokenEvent event) {}

                                @Override
                                public void finished(int choice, String text, FinishReason reason, int generatedTokens) {
                                    neighbour.end.complete(reason);
                                }

                                @Override
                                public void failed(RuntimeFault fault) {
                                    neighbour.end.completeExceptionally(fault);
                                }
                            });
                    sinks.add(embed(engine, adapter(i), prompts.get(i), pooling(i), i % 2 == 0));
                }
                for (int i = 0; i < sinks.size(); i++) {
                    assertThat(sinks.get(i).values.join()).as("prompt %d", i).isEqualTo(alone.get(i));
                    assertThat(sinks.get(i).end.join()).isEqualTo(FinishReason.STOP);
                }
                neighbours.forEach(neighbour -> neighbour.end.join());
                preempted += count[0];
            }
        }
        assertThat(preempted).as("sequences put back").isPositive();
    }

    private static void register(Engine engine) {
        engine.adapters().register(AdapterRegistration.folder("lora-llama", "tiny", GOLDEN.resolve("adapters/lora-llama")));
    }

    private static String adapter(int i) {
        return i % 3 == 0 ? null : "lora-llama";
    }

    private static Pooling pooling(int i) {
        return i % 4 == 3 ? Pooling.LAST : Pooling.MEAN;
    }

    @Test
    void haveLengthOneWhenAsked() throws IOException {
        try (Engine engine = open(options("llama"))) {
            int[] prompt = {5, 6, 7, 8};
            float[] plain = embed(engine, null, prompt, Pooling.MEAN, false).values.join();
            float[] unit = embed(engine, null, prompt, Pooling.MEAN, true).values.join();
            double length = Math.sqrt(dot(plain, 0, plain));
            assertThat(dot(unit, 0, unit)).isCloseTo(1, within(1e-6));
            for (int i = 0; i < unit.length; i++) {
                assertThat(unit[i] * length).isCloseTo(plain[i], within(1e-5));
            }
        }
    }

    @Test
    void aMeanNeedsAllOfThePromptAndTheLastTokenCanUseWhatIsKept() throws IOException {
        int[] prompt = new Random(1).ints(50, 3, 320).toArray();
        try (Engine engine = open(options("llama"))) {
            float[] last = embed(engine, null, prompt, Pooling.LAST, false).values.join();
            float[] mean = embed(engine, null, prompt, Pooling.MEAN, false).values.join();
            Sink again = embed(engine, null, prompt, Pooling.LAST, false);
            assertThat(again.values.join()).isEqualTo(last);
            assertThat(again.cached).isEqualTo(48);
            Sink meanAgain = embed(engine, null, prompt, Pooling.MEAN, false);
            assertThat(meanAgain.values.join()).isEqualTo(mean);
            assertThat(meanAgain.cached).isZero();
        }
    }

    @Test
    void whatDoesNotFitIsRefused() throws IOException {
        try (Engine engine = open(options("llama"))) {
            int context = engine.models().getFirst().contextLength();
            int[] full = new int[context];
            Arrays.fill(full, 5);
            assertThat(embed(engine, null, full, Pooling.LAST, false).values.join()).hasSize(engine.models().getFirst().width());
            assertThatThrownBy(() -> embed(engine, null, Arrays.copyOf(full, context + 1), Pooling.MEAN, false).values.join())
                    .isInstanceOf(CompletionException.class).hasMessageContaining("maximum context length is " + context + " tokens")
                    .hasMessageContaining((context + 1) + " in the prompt)");
            assertThatThrownBy(() -> embed(engine, null, new int[0], Pooling.MEAN, false).values.join()).hasMessageContaining("no tokens");
        }
    }
}
