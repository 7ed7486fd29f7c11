package dev.polyphon.engine;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.polyphon.engine.backend.cpu.CpuKernels;
import dev.polyphon.runtime.AdapterRegistration;
import dev.polyphon.runtime.AdapterWeight;
import dev.polyphon.runtime.GenerationRequest;
import dev.polyphon.runtime.Prompt;
import dev.polyphon.runtime.Sampling;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/** A request that names several adapters with weights is answered as by the adapter that PEFT's {@code add_weighted_adapter} makes of them. */
class AdapterMixTest {
    private static final Path GOLDEN = Path.of("src/test/resources/golden");

    /**
     * {@code cat} is the weighted sum itself. PEFT's {@code linear} is not: it sums A and B by the roots of the weights, so that their products mix, too.
     */
    @Test
    void weightedMixesAreThoseOfCat() throws IOException {
        JsonNode json = new ObjectMapper().readTree(Files.readAllBytes(GOLDEN.resolve("cases/combine-cat/case.json")));
        try (Engine engine = Engine.open(EngineOptions.of("llama", GOLDEN.resolve("bases/llama")).withKv(1 << 22, 16), CpuKernels.open(2))) {
            List<AdapterWeight> mix = new ArrayList<>();
            for (int i = 0; i < json.at("/combine/adapters").size(); i++) {
                String name = json.at("/combine/adapters").get(i).asText();
                engine.adapters().register(AdapterRegistration.folder(name, "llama", GOLDEN.resolve("adapters").resolve(name)));
                mix.add(new AdapterWeight(name, (float) json.at("/combine/weights").get(i).asDouble(), null));
            }
            assertThat(mix).hasSizeGreaterThan(1);
            List<Collected> sinks = new ArrayList<>();
            for (JsonNode prompt : json.path("prompts")) {
                Collected sink = new Collected();
                int length = json.path("greedy").get(sinks.size()).size();
                engine.generate(new GenerationRequest("r", "t", "llama", mix, new Prompt.Tokens(ids(prompt)),
                        Sampling.builder().temperature(0).maxTokens(length).ignoreEos(true).build(), 1), sink);
                sinks.add(sink);
            }
            for (int i = 0; i < sinks.size(); i++) {
                assertThat(sinks.get(i).join()).containsExactly(java.util.Arrays.stream(ids(json.path("greedy").get(i))).boxed().toArray(Integer[]::new));
            }
        }
    }

    private static int[] ids(JsonNode list) {
        return new ObjectMapper().convertValue(list, int[].class);
    }
}
