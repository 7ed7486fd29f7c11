package dev.polyphon.server.openai;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import dev.polyphon.runtime.Grammar;
import dev.polyphon.runtime.Prompt;
import dev.polyphon.runtime.ToolFormat;
import dev.polyphon.server.FakeRuntime;
import dev.polyphon.server.TestServer;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Calls of tools, asked for and found. */
class ToolsTest {
    private static final String TOOLS = "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"type\":\"object\",\"properties\":{\"x\":"
            + "{\"$ref\":\"#/$defs/n\"}},\"required\":[\"x\"],\"$defs\":{\"n\":{\"type\":\"integer\"}}}}},{\"type\":\"function\",\"function\":{\"name\":\"g\"}}]";
    private static final String CALL = "<tool_call> {\\\"name\\\": \\\"f\\\", \\\"arguments\\\": {\\\"x\\\": 1}} </tool_call>";

    private TestServer server;

    @BeforeEach
    void start() {
        server = new TestServer();
    }

    @AfterEach
    void stop() {
        server.close();
    }

    private TestServer.Answer chat(String content, String more) {
        return server.post("/v1/chat/completions", "{\"model\":\"" + FakeRuntime.BASE + "\",\"messages\":[{\"role\":\"user\",\"content\":\"" + content + "\"}]" + more + "}");
    }

    @Test
    void areFoundInWholeAnswers() {
        JsonNode choice = chat(CALL, "," + TOOLS).json().at("/choices/0");
        assertThat(choice.at("/message/content").asText()).isEqualTo("base:");
        assertThat(choice.at("/message/tool_calls/0/function").toString()).isEqualTo("{\"name\":\"f\",\"arguments\":\"{\\\"x\\\": 1}\"}");
        assertThat(choice.at("/message/tool_calls/0/type").asText()).isEqualTo("function");
        assertThat(choice.at("/message/tool_calls/0/index").isMissingNode()).isTrue();
        assertThat(choice.path("finish_reason").asText()).isEqualTo("tool_calls");
    }

    @Test
    void areFoundInStreams() {
        var chunks = chat(CALL, ",\"stream\":true," + TOOLS).chunks();
        var content = new StringBuilder();
        var arguments = new StringBuilder();
        for (JsonNode chunk : chunks) {
            content.append(chunk.at("/choices/0/delta/content").asText(""));
            for (JsonNode call : chunk.at("/choices/0/delta/tool_calls")) {
                assertThat(call.path("index").asInt(-1)).isZero();
                assertThat(call.has("id")).isEqualTo(call.path("function").has("name"));
                arguments.append(call.at("/function/name").asText("")).append(call.at("/function/arguments").asText());
            }
        }
        assertThat(content.toString()).isEqualTo("base:");
        assertThat(arguments.toString()).isEqualTo("f{\"x\": 1}");
        assertThat(chunks.getFirst().at("/choices/0/delta/role").asText()).isEqualTo("assistant");
        assertThat(chunks.getLast().at("/choices/0/finish_reason").asText()).isEqualTo("tool_calls");
    }

    @Test
    void areLookedForOnlyWhereThereAreTools() {
        assertThat(chat(CALL, "").json().at("/choices/0/message/content").asText()).contains("<tool_call>");
        var none = chat(CALL, ",\"tool_choice\":\"none\"," + TOOLS).json().at("/choices/0");
        assertThat(none.at("/message/content").asText()).contains("<tool_call>");
        assertThat(none.path("finish_reason").asText()).isEqualTo("stop");
        assertThat(((Prompt.Chat) server.runtime.requests.getLast().prompt()).tools()).isEmpty();
    }

    private Grammar grammar(String choice) {
        assertThat(chat(CALL, ",\"tool_choice\":" + choice + "," + TOOLS).status()).isEqualTo(200);
        return server.runtime.requests.getLast().sampling().grammar();
    }

    @Test
    void areEnforcedByAGrammar() {
        assertThat(grammar("\"auto\"")).isNull();
        var required = (Grammar.Sequence) grammar("\"required\"");
        assertThat(required.parts()).hasSize(3).first().isEqualTo(new Grammar.Choice(List.of("<tool_call>\n")));
        JsonNode schema = TestServer.parse(((Grammar.JsonSchema) required.parts().get(1)).schema());
        assertThat(schema.path("anyOf")).extracting(one -> one.at("/properties/name/const").asText()).containsExactly("f", "g");
        assertThat(schema.at("/$defs/t0/properties/x/$ref").asText()).isEqualTo("#/$defs/t0/$defs/n");
        assertThat(schema.at("/$defs/t1/additionalProperties").asBoolean(true)).isFalse();
        var named = (Grammar.Sequence) grammar("{\"type\":\"function\",\"function\":{\"name\":\"g\"}}");
        assertThat(TestServer.parse(((Grammar.JsonSchema) named.parts().get(1)).schema()).path("anyOf")).hasSize(1);
        assertThat(chat(CALL, ",\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"f\"}}," + TOOLS).json().at("/choices/0/finish_reason").asText())
                .isEqualTo("stop");
        assertThat(grammar("{\"type\":\"allowed_tools\",\"allowed_tools\":{\"mode\":\"auto\",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"g\"}}]}}")).isNull();
        assertThat(((Prompt.Chat) server.runtime.requests.getLast().prompt()).tools()).hasSize(1);
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {"\"required\"|tool_choice|required only when 'tools' are specified", "\"maybe\"|tool_choice|'maybe'",
        "{\"type\":\"function\",\"function\":{\"name\":\"h\"}}|tool_choice.function.name|no function 'h'", "{\"type\":\"custom\"}|tool_choice.type|'custom'",
        "{}|tool_choice.type|Missing"})
    void refusesOtherChoices(String choice, String param, String message) {
        var error = chat("x", ",\"tool_choice\":" + choice).error();
        assertThat(error.path("param").asText()).isEqualTo(param);
        assertThat(error.path("message").asText()).contains(message);
    }

    @Test
    void refusesTwoForms() {
        var answer = chat("x", ",\"tool_choice\":\"required\",\"regex\":\"a\"," + TOOLS);
        assertThat(answer.status()).isEqualTo(400);
        assertThat(answer.error().path("param").asText()).isEqualTo("tool_choice");
    }

    /** A model whose template knows nothing of tools is told of them in plain messages. */
    @Test
    void areToldOfInMessagesWhereTheTemplateDoesNot() {
        server.runtime.tools = ToolFormat.NONE;
        chat("hi", "," + TOOLS);
        var prompt = (Prompt.Chat) server.runtime.requests.getLast().prompt();
        assertThat(prompt.tools()).isEmpty();
        assertThat(prompt.messages().getFirst()).containsEntry("role", "system");
        assertThat(prompt.messages().getFirst().get("content").toString()).contains("\"name\":\"f\"").contains("<tool_call>");
        server.post("/v1/chat/completions", "{\"model\":\"" + FakeRuntime.BASE + "\",\"messages\":[{\"role\":\"system\",\"content\":\"S\"},{\"role\":\"user\",\"content\":\"u\"},"
                + "{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"1\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"x\\\":1}\"}}]},"
                + "{\"role\":\"tool\",\"tool_call_id\":\"1\",\"content\":\"42\"}]," + TOOLS + "}");
        List<Map<String, Object>> told = ((Prompt.Chat) server.runtime.requests.getLast().prompt()).messages();
        assertThat(told.getFirst().get("content").toString()).startsWith("S\n\n");
        assertThat(told.get(2).get("content")).isEqualTo("<tool_call>\n{\"name\":\"f\",\"arguments\":{\"x\":1}}\n</tool_call>");
        assertThat(told.get(3)).containsEntry("role", "user").containsEntry("content", "<tool_response>\n42\n</tool_response>");
    }
}
