package dev.polyphon.engine;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.polyphon.engine.backend.cpu.CpuKernels;
import dev.polyphon.runtime.FinishReason;
import dev.polyphon.runtime.GenerationRequest;
import dev.polyphon.runtime.Grammar;
import dev.polyphon.runtime.Prompt;
import dev.polyphon.runtime.Sampling;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;

/** The default base held to grammars; runs where its file is. */
class ConstrainedTest {
    private static final String SCHEMA = """
            {"type": "object", "properties": {"city": {"type": "string", "maxLength": 20}, "population": {"type": "integer", "minimum": 0, "maximum": 99999999},
            "kind": {"enum": ["capital", "town"]}}, "required": ["city", "population", "kind"], "additionalProperties": false}""";

    private static Collected ask(Engine engine, Grammar grammar, long seed) {
        var sampling = Sampling.builder().temperature(1.5f).seed(seed).maxTokens(120).grammar(grammar).build();
        var prompt = new Prompt.Chat(List.of(Map.of("role", "user", "content", "Describe Paris.")), List.of(), true, Map.of());
        var sink = new Collected();
        engine.generate(new GenerationRequest("r" + seed, "t", "smol", List.of(), prompt, sampling, 1), sink);
        return sink;
    }

    private static String text(Collected output) {
        output.join();
        return output.text.toString();
    }

    @Test
    void outputsOfARealModelMatch() throws IOException {
        Path model = TestModels.find("SmolLM2-135M-Instruct.Q4_1.gguf");
        Assumptions.assumeTrue(model != null, "the default base is not in the model cache");
        try (Engine engine = Engine.open(EngineOptions.of("smol", model), CpuKernels.open(2))) {
            // All at once: each is held to its own.
            var objects = IntStream.range(0, 4).mapToObj(i -> ask(engine, new Grammar.JsonSchema(SCHEMA), i)).toList();
            var words = ask(engine, new Grammar.Regex("[A-Z][a-z]{2,9} (?:é|ü|日本)\\."), 9);
            var call = ask(engine, new Grammar.Sequence(List.of(new Grammar.Choice(List.of("<tool_call>\n")), new Grammar.JsonSchema(SCHEMA),
                    new Grammar.Choice(List.of("\n</tool_call>")))), 10);
            assertThat(text(call)).startsWith("<tool_call>\n{").endsWith("}\n</tool_call>");
            assertThat(new ObjectMapper().readTree(text(call).substring(12, text(call).length() - 13)).size()).isEqualTo(3);
            for (Collected one : objects) {
                JsonNode json = new ObjectMapper().readTree(text(one));
                assertThat(json.path("population").isInt()).as(json.toString()).isTrue();
                assertThat(json.path("kind").asText()).isIn("capital", "town");
                assertThat(json.size()).isEqualTo(3);
                assertThat(one.end.join()).isEqualTo(FinishReason.STOP);
            }
            assertThat(text(words)).matches("[A-Z][a-z]{2,9} (?:é|ü|日本)\\.");
        }
    }
}
