package dev.polyphon.engine;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.polyphon.engine.backend.cpu.CpuKernels;
import dev.polyphon.engine.schedule.PrefixSharing;
import dev.polyphon.engine.schedule.SchedulePolicy;
import dev.polyphon.runtime.AdapterRegistration;
import dev.polyphon.runtime.AdapterWeight;
import dev.polyphon.runtime.GenerationRequest;
import dev.polyphon.runtime.Prompt;
import dev.polyphon.runtime.Sampling;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** Adapters of every form give the same tokens and log probabilities from a cached prefix as without. */
class CachedPrefixTest {
    private static final Path GOLDEN = Path.of("src/test/resources/golden");
    private static final int[] PROMPT = new Random(3).ints(45, 3, 320).toArray();
    private static final int[] OTHER_END = PROMPT.clone();

    static {
        OTHER_END[40] = 7;
    }

    @Test
    void anyAdapter() throws IOException {
        Map<String, AdapterRegistration> adapters = new LinkedHashMap<>();
        try (Stream<Path> cases = Files.list(GOLDEN.resolve("cases"))) {
            for (Path folder : cases.sorted().toList()) {
                JsonNode json = new ObjectMapper().readTree(Files.readAllBytes(folder.resolve("case.json")));
                if (json.path("base").asText().equals("llama") && json.hasNonNull("adapter") && !json.hasNonNull("task")) {
                    String name = json.path("adapter").asText();
                    adapters.put(name, AdapterRegistration.folder(name, "tiny", GOLDEN.resolve("adapters").resolve(name)));
                }
            }
        }
        assertThat(adapters).hasSizeGreaterThan(50);
        List<String> names = new ArrayList<>(adapters.keySet());
        names.add(null);
        try (Engine cold = open(PrefixSharing.OFF, adapters); Engine warm = open(PrefixSharing.TENANT, adapters)) {
            for (String name : names) {
                run(warm, name, PROMPT);
                for (int[] prompt : List.of(PROMPT, OTHER_END)) {
                    Collected expected = run(cold, name, prompt);
                    Collected found = run(warm, name, prompt);
                    assertThat(expected.cachedTokens).isZero();
                    assertThat(found.cachedTokens).as("%s found its prefix", name).isGreaterThanOrEqualTo(prompt == PROMPT ? 32 : 24);
                    assertThat(found.tokens).as(name).isEqualTo(expected.tokens);
                    assertThat(found.logprobs).as(name).isEqualTo(expected.logprobs);
                }
            }
            assertThat(warm.stats().prefix().hit()).isPositive();
            assertThat(warm.stats().prefix().blocks()).isPositive();
            assertThat(cold.stats().prefix().queried()).isZero();
        }
    }

    private static Engine open(PrefixSharing sharing, Map<String, AdapterRegistration> adapters) throws IOException {
        EngineOptions options = EngineOptions.of("tiny", GOLDEN.resolve("bases/llama")).withSteps(4, 64).withKv(1 << 22, 8)
                .withPolicy(SchedulePolicy.DEFAULT.withPrefixCache(sharing));
        Engine engine = Engine.open(options, CpuKernels.open(2));
        adapters.values().forEach(engine.adapters()::register);
        return engine;
    }

    private static Collected run(Engine engine, String adapter, int[] prompt) {
        Collected sink = new Collected();
        Sampling sampling = Sampling.builder().temperature(0).maxTokens(6).ignoreEos(true).logprobs(3).build();
        engine.generate(new GenerationRequest("r", "t", "tiny", adapter == null ? List.of() : List.of(new AdapterWeight(adapter)),
                new Prompt.Tokens(prompt), sampling, 1), sink);
        sink.join();
        return sink;
    }
}
