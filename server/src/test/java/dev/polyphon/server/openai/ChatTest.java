package dev.polyphon.server.openai;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.entry;

import dev.polyphon.runtime.Prompt;
import dev.polyphon.server.FakeRuntime;
import dev.polyphon.server.TestServer;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

class ChatTest {
    private static TestServer server;

    @BeforeAll
    static void start() {
        server = new TestServer();
    }

    @AfterAll
    static void stop() {
        server.close();
    }

    private static TestServer.Answer chat(String fields) {
        return server.post("/v1/chat/completions", "{\"model\":\"" + FakeRuntime.BASE + "\"," + fields + "}");
    }

    private static Prompt.Chat prompt(String fields) {
        var answer = chat(fields);
        assertThat(answer.status()).as(answer.body()).isEqualTo(200);
        return (Prompt.Chat) server.runtime.requests.getLast().prompt();
    }

    @Test
    void answersWholly() {
        var json = chat("\"messages\":[{\"role\":\"user\",\"content\":\"to be\"}],\"n\":2").json();
        assertThat(json.path("object").asText()).isEqualTo("chat.completion");
        assertThat(json.path("id").asText()).startsWith("chatcmpl-");
        assertThat(json.at("/choices/1").toString())
                .isEqualTo("{\"index\":1,\"message\":{\"role\":\"assistant\",\"content\":\"base:to be\",\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"stop\"}");
        assertThat(json.path("usage").toString()).isEqualTo("{\"prompt_tokens\":2,\"completion_tokens\":4,\"total_tokens\":6,\"prompt_tokens_details\":{\"cached_tokens\":0}}");
    }

    @Test
    void streams() {
        var chunks = chat("\"messages\":[{\"role\":\"user\",\"content\":\"to be\"}],\"stream\":true,\"n\":2").chunks();
        assertThat(chunks).allSatisfy(chunk -> assertThat(chunk.path("object").asText()).isEqualTo("chat.completion.chunk"));
        for (int choice = 0; choice < 2; choice++) {
            int index = choice;
            var deltas = chunks.stream().map(chunk -> chunk.at("/choices/0")).filter(c -> c.path("index").asInt() == index).toList();
            assertThat(deltas).extracting(c -> c.path("delta").toString())
                    .containsExactly("{\"role\":\"assistant\",\"content\":\"base:to\"}", "{\"content\":\" be\"}", "{}");
            assertThat(deltas.getLast().path("finish_reason").asText()).isEqualTo("stop");
        }
    }

    @Test
    void reportsLogprobs() {
        var logprobs = chat("\"messages\":[{\"role\":\"user\",\"content\":\"é\"}],\"logprobs\":true,\"top_logprobs\":2").json().at("/choices/0/logprobs");
        var token = logprobs.at("/content/0");
        assertThat(token.path("token").asText()).isEqualTo("base:é");
        assertThat(token.path("logprob").asDouble()).isEqualTo(-2);
        assertThat(token.path("bytes").toString()).isEqualTo("[98,97,115,101,58,195,169]");
        assertThat(token.path("top_logprobs")).extracting(top -> top.path("token").asText()).containsExactly("base:é", "alt1");
        assertThat(logprobs.path("refusal").isNull()).isTrue();
        var streamed = chat("\"messages\":[{\"role\":\"user\",\"content\":\"é\"}],\"logprobs\":true,\"stream\":true").chunks();
        assertThat(streamed.getFirst().at("/choices/0/logprobs/content/0/top_logprobs").isEmpty()).isTrue();
    }

    @Test
    void passesMessagesAsTemplatesExpectThem() {
        var messages = prompt("""
                "messages": [
                  {"role": "developer", "content": "be brief"},
                  {"role": "user", "name": "ann", "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]},
                  {"role": "assistant", "content": null, "tool_calls": [
                    {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{\\"x\\": [1, null]}"}}]},
                  {"role": "tool", "tool_call_id": "1", "content": "result"}
                ]""").messages();
        assertThat(messages.get(0)).containsOnly(entry("role", "system"), entry("content", "be brief"));
        assertThat(messages.get(1)).containsOnly(entry("role", "user"), entry("name", "ann"), entry("content", "one\ntwo"));
        assertThat(messages.get(2).get("content")).isNull();
        var call = (Map<?, ?>) ((List<?>) messages.get(2).get("tool_calls")).getFirst();
        assertThat(((Map<?, ?>) call.get("function")).get("arguments").toString()).isEqualTo("{x=[1, null]}");
        assertThat(messages.get(3)).containsEntry("tool_call_id", "1");
    }

    @Test
    void passesToolsAndTemplateVariables() {
        String common = "\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]";
        var prompt = prompt(common + ",\"tool_choice\":\"auto\",\"add_generation_prompt\":false,\"chat_template_kwargs\":{\"thinking\":true,\"none\":null}");
        assertThat(prompt.tools()).hasSize(1);
        assertThat(prompt.addGenerationPrompt()).isFalse();
        assertThat(prompt.variables()).containsOnly(entry("thinking", true));
        assertThat(prompt(common + ",\"tool_choice\":\"none\"").tools()).isEmpty();
    }

    @Test
    void takesEitherTokenLimit() {
        String messages = "\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]";
        chat(messages + ",\"max_tokens\":5");
        assertThat(server.runtime.requests.getLast().sampling().maxTokens()).isEqualTo(5);
        chat(messages + ",\"max_completion_tokens\":6");
        assertThat(server.runtime.requests.getLast().sampling().maxTokens()).isEqualTo(6);
        chat(messages);
        assertThat(server.runtime.requests.getLast().sampling().maxTokens()).isEqualTo(-1);
    }
}
