package dev.polyphon.engine;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.polyphon.engine.backend.cpu.CpuKernels;
import dev.polyphon.engine.schedule.PrefixSharing;
import dev.polyphon.engine.schedule.SchedulePolicy;
import dev.polyphon.runtime.AdapterRegistration;
import dev.polyphon.runtime.AdapterWeight;
import dev.polyphon.runtime.FinishReason;
import dev.polyphon.runtime.GenerationRequest;
import dev.polyphon.runtime.Prompt;
import dev.polyphon.runtime.Sampling;
import dev.polyphon.runtime.TokenEvent;
import dev.polyphon.runtime.TokenLogprobs;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Tokens are as likely in a prompt as they were when they were generated, bit for bit: with any adapter, chunk, neighbour and cached prefix. */
class ScoredPromptTest {
    private static final Path GOLDEN = Path.of("src/test/resources/golden");
    private static final int[] PROMPT = new Random(3).ints(21, 3, 320).toArray();
    private static final int TOP = 3;

    /** All but those that act at places counted from the prompt's end (ReFT): in a longer prompt they act elsewhere. */
    private static Map<String, AdapterRegistration> adapters() throws IOException {
        Map<String, AdapterRegistration> adapters = new LinkedHashMap<>();
        try (Stream<Path> cases = Files.list(GOLDEN.resolve("cases"))) {
            for (Path folder : cases.sorted().toList()) {
                JsonNode json = new ObjectMapper().readTree(Files.readAllBytes(folder.resolve("case.json")));
                String name = json.path("adapter").asText();
                if (json.path("base").asText().equals("llama") && json.hasNonNull("adapter") && !json.hasNonNull("task") && !name.contains("reft")) {
                    adapters.put(name, AdapterRegistration.folder(name, "tiny", GOLDEN.resolve("adapters").resolve(name)));
                }
            }
        }
        return adapters;
    }

    private static Engine open(EngineOptions options) throws IOException {
        return Engine.open(options.withPolicy(SchedulePolicy.DEFAULT.withPrefixCache(PrefixSharing.TENANT)), CpuKernels.open(2));
    }

    private static EngineOptions options() {
        return EngineOptions.of("tiny", GOLDEN.resolve("bases/llama"));
    }

    private static Collected start(Engine engine, String adapter, int[] prompt, Sampling.Builder sampling) {
        Collected sink = new Collected();
        engine.generate(new GenerationRequest("r", "t", "tiny", adapter == null ? List.of() : List.of(new AdapterWeight(adapter)), new Prompt.Tokens(prompt),
                sampling.temperature(0).ignoreEos(true).build(), 1), sink);
        return sink;
    }

    private static int[] with(int[] prompt, List<Integer> more) {
        return IntStream.concat(IntStream.of(prompt), more.stream().mapToInt(Integer::intValue)).toArray();
    }

    /** Token, alternatives and log probabilities. */
    private static List<String> bits(List<TokenLogprobs> scores) {
        return scores.stream().map(score -> bits(score.chosen()) + score.top().stream().map(ScoredPromptTest::bits).toList()).toList();
    }

    private static String bits(TokenLogprobs.Entry entry) {
        return entry.token() + " " + Integer.toHexString(Float.floatToRawIntBits(entry.logprob()));
    }

    @ParameterizedTest
    @ValueSource(ints = {5, 11, 64})
    void asLikelyAsTheyWereGenerated(int stepTokens) throws IOException {
        List<String> names = new ArrayList<>(adapters().keySet());
        names.add(null);
        try (Engine engine = open(options().withSteps(4, stepTokens).withKv(1 << 22, 8))) {
            adapters().values().forEach(engine.adapters()::register);
            Map<String, Collected> generated = new LinkedHashMap<>();
            for (String name : names) {
                Collected sink = start(engine, name, PROMPT, Sampling.builder().maxTokens(12).logprobs(TOP));
                sink.join();
                generated.put(name, sink);
            }
            Map<String, Collected> scored = new LinkedHashMap<>();
            generated.forEach((name, sink) -> scored.put(name,
                    start(engine, name, with(PROMPT, sink.tokens), Sampling.builder().maxTokens(0).promptLogprobs(TOP))));
            scored.forEach((name, sink) -> {
                assertThat(sink.end.join()).isEqualTo(FinishReason.LENGTH);
                assertThat(sink.tokens).isEmpty();
                assertThat(sink.cachedTokens).as("what is cached tells nothing of probabilities").isZero();
                assertThat(sink.scored).hasSize(PROMPT.length + 12);
                assertThat(sink.scored.getFirst().chosen().logprob()).isNaN();
                assertThat(sink.scored.getFirst().top()).isEmpty();
                assertThat(sink.scored).extracting(score -> score.chosen().token()).startsWith(IntStream.of(PROMPT).boxed().toArray(Integer[]::new));
                assertThat(bits(sink.scored.subList(PROMPT.length, PROMPT.length + 12))).as(name).isEqualTo(bits(generated.get(name).logprobs));
            });
            // What was read for its probabilities is there for others.
            Collected again = start(engine, null, PROMPT, Sampling.builder().maxTokens(12).logprobs(TOP));
            assertThat(again.join()).isEqualTo(generated.get(null).tokens);
            assertThat(again.cachedTokens).isPositive();
        }
    }

    @Test
    void goesOnAfterThePrompt() throws IOException {
        try (Engine engine = open(options().withSteps(4, 64).withKv(1 << 22, 8))) {
            Collected plain = start(engine, null, PROMPT, Sampling.builder().maxTokens(6).logprobs(TOP));
            plain.join();
            Collected both = start(engine, null, PROMPT, Sampling.builder().maxTokens(6).logprobs(TOP).promptLogprobs(1));
            assertThat(both.join()).isEqualTo(plain.tokens);
            assertThat(bits(both.logprobs)).isEqualTo(bits(plain.logprobs));
            assertThat(both.scored).hasSize(PROMPT.length).last().satisfies(score -> assertThat(score.top()).hasSize(1));
            Collected single = start(engine, null, new int[] {5}, Sampling.builder().maxTokens(0).promptLogprobs(0));
            single.join();
            assertThat(single.scored).hasSize(1);
            Collected nothing = start(engine, null, PROMPT, Sampling.builder().maxTokens(0));
            assertThat(nothing.end.join()).isEqualTo(FinishReason.LENGTH);
            assertThat(nothing.tokens).isEmpty();
            assertThat(nothing.scored).isNull();
        }
    }

    @Test
    void allChoicesFollowOneReading() throws IOException {
        List<String> told = new ArrayList<>();
        try (Engine engine = open(options().withSteps(4, 8).withKv(1 << 22, 8))) {
            Collected sink = new Collected() {
                @Override
                public void scored(List<TokenLogprobs> prompt) {
                    told.add("scored");
                }

                @Override
                public void token(TokenEvent event) {
                    told.add("token " + event.choice());
                }

                @Override
                public void finished(int choice, String rest, FinishReason reason, int generatedTokens) {
                    told.add("end " + choice);
                    if (told.stream().filter(what -> what.startsWith("end")).count() == 3) {
                        end.complete(reason);
                    }
                }
            };
            Sampling sampling = Sampling.builder().maxTokens(2).ignoreEos(true).promptLogprobs(0).build();
            engine.generate(new GenerationRequest("r", "t", "tiny", List.of(), new Prompt.Tokens(PROMPT), sampling, 3), sink);
            sink.join();
            assertThat(told).startsWith("scored").hasSize(10).containsOnlyOnce("scored", "end 0", "end 1", "end 2");
        }
    }

    /** Blocks for one and a half: some are put back in the middle of their prompts, and read on where they were. */
    @Test
    void putBackForWantOfBlocks() throws IOException, InterruptedException {
        int[] prompt = new Random(4).ints(60, 3, 320).toArray();
        try (Engine engine = open(options().withSteps(6, 24).withKv(512L * 120, 4))) {
            Collected alone = start(engine, null, prompt, Sampling.builder().maxTokens(0).promptLogprobs(TOP));
            alone.join();
            List<Collected> sinks = new ArrayList<>();
            for (int i = 0; i < 12; i++) {
                int[] own = prompt.clone();
                own[59] = 3 + i;
                sinks.add(start(engine, null, own, Sampling.builder().maxTokens(30).promptLogprobs(TOP)));
            }
            for (Collected sink : sinks) {
                assertThat(sink.join()).hasSize(30);
                assertThat(bits(sink.scored.subList(0, 59))).isEqualTo(bits(alone.scored.subList(0, 59)));
            }
            for (int i = 0; i < 1000 && engine.stats().kvBlocksUsed() > 0; i++) {
                Thread.sleep(5);
            }
            assertThat(engine.stats().kvBlocksUsed()).isZero();
        }
    }
}
