package dev.polyphon.server.openai.tools;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polyphon.runtime.ToolFormat;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class CallReaderTest {
    private static final class Heard implements Calls {
        final StringBuilder content = new StringBuilder();
        final List<String> ids = new ArrayList<>();
        final List<StringBuilder> calls = new ArrayList<>();
        int pieces;

        @Override
        public void content(String text) {
            content.append(text);
        }

        @Override
        public void call(int index, String id, String name) {
            assertThat(index).isEqualTo(calls.size());
            ids.add(id);
            calls.add(new StringBuilder(name + " "));
        }

        @Override
        public void arguments(int index, String piece) {
            calls.get(index).append(piece);
            pieces++;
        }

        @Override
        public String toString() {
            return content + "|" + String.join("|", calls);
        }
    }

    /** Whatever the pieces in which a text comes, the same is found. */
    private static Heard read(ToolFormat format, String text) {
        Heard first = null;
        var random = new Random(text.hashCode());
        for (int round = 0; round < 30; round++) {
            var heard = new Heard();
            var reader = new CallReader(format, Set.of("f", "g"), heard);
            for (int at = 0; at < text.length(); ) {
                int end = round == 0 ? text.length() : Math.min(text.length(), at + 1 + random.nextInt(round));
                reader.push(text.substring(at, end));
                at = end;
            }
            reader.end();
            assertThat(reader.calls()).isEqualTo(heard.calls.size());
            if (first != null) {
                assertThat(heard.toString()).isEqualTo(first.toString());
            }
            first = first == null ? heard : first;
        }
        return first;
    }

    @ParameterizedTest
    @CsvSource(delimiter = '~', ignoreLeadingAndTrailingWhitespace = false, value = {
        "<tool_call>\\n{\"name\": \"f\", \"arguments\": {\"x\": [1, \"}\\\"\"]}}\\n</tool_call>~|f {\"x\": [1, \"}\\\"\"]}",
        "Let me see.\\n<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>\\n<tool_call>{\"name\":\"g\",\"arguments\":{\"a\":1}}</tool_call>\\n~Let me see.|f {}|g {\"a\":1}",
        "<tool_call>{\"arguments\": {\"x\": 1}, \"name\": \"f\"}</tool_call>~|f {\"x\": 1}",
        "<tool_call>{\"name\": \"f\"}</tool_call>~|f {}",
        "<tool_call>{\"name\": \"f\", \"arguments\": \"{\\\"x\\\": 1}\"}</tool_call>~|f {\"x\": 1}",
        "<tool_call>{\"name\": \"unheard\", \"arguments\": null, \"id\": {\"a\": 2}}</tool_call>~|unheard null",
        "no call at all <tool~no call at all <tool|",
        " a < b <tool_call> not JSON </tool_call>~ a < b <tool_call> not JSON </tool_call>|",
        "<tool_call>{\"nam\": \"f\"}</tool_call>~<tool_call>{\"nam\": \"f\"}</tool_call>|",
        "<tool_call>{\"name\": \"f\", \"arguments\": {\"x\": \"cut~|f {\"x\": \"cut",
        "<tool_call>{\"na~<tool_call>{\"na|"})
    void findsThoseOfHermes(String text, String expected) {
        assertThat(read(ToolFormat.HERMES, text.replace("\\n", "\n")).toString()).isEqualTo(expected.replace("\\n", "\n"));
    }

    @ParameterizedTest
    @CsvSource(delimiter = '~', value = {
        "{\"name\": \"f\", \"parameters\": {\"x\": 1}}~|f {\"x\": 1}",
        "{\"name\": \"f\", \"parameters\": {}}; {\"name\": \"g\", \"parameters\": {\"y\": 2}}~|f {}|g {\"y\": 2}",
        "{\"name\": \"Paris\", \"parameters\": {}}~{\"name\": \"Paris\", \"parameters\": {}}|",
        "{\"city\": {\"name\": \"f\"}}~{\"city\": {\"name\": \"f\"}}|",
        "It is {\"name\": \"f\", \"parameters\": {}}~It is {\"name\": \"f\", \"parameters\": {}}|",
        "{ not JSON~{ not JSON|"})
    void findsThoseOfLlama(String text, String expected) {
        assertThat(read(ToolFormat.LLAMA3_JSON, text).toString()).isEqualTo(expected);
    }

    @ParameterizedTest
    @CsvSource(delimiter = '~', value = {
        "[{\"name\": \"f\", \"arguments\": {\"x\": 1}}, {\"name\": \"g\", \"arguments\": {}}]~|f {\"x\": 1}|g {}",
        "[TOOL_CALLS] [{\"name\": \"f\", \"arguments\": {\"x\": 1}}]~|f {\"x\": 1}",
        "Well: [TOOL_CALLS][{\"name\": \"f\", \"arguments\": {}}]~Well:|f {}",
        "[1, 2]~[1, 2]|", "[TOOLS are] fine~[TOOLS are] fine|"})
    void findsThoseOfMistral(String text, String expected) {
        var heard = read(ToolFormat.MISTRAL, text);
        assertThat(heard.toString()).isEqualTo(expected);
        assertThat(heard.ids).allMatch(id -> id.matches("[a-zA-Z0-9]{9}"));
    }

    /** Arguments are told as they come, and text as soon as it cannot become a call. */
    @Test
    void holdsNothingBackWithoutNeed() {
        var heard = new Heard();
        var reader = new CallReader(ToolFormat.HERMES, Set.of("f"), heard);
        reader.push("Hello there <");
        assertThat(heard.content.toString()).isEqualTo("Hello there");
        reader.push("tool_call>{\"name\": \"f\", \"arguments\": {\"x\": ");
        assertThat(heard.calls.getFirst().toString()).isEqualTo("f {\"x\": ");
        assertThat(heard.ids.getFirst()).matches("call_[0-9a-f]{24}");
    }
}
