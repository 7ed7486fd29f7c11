package dev.polyphon.server.openai;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polyphon.runtime.Prompt;
import dev.polyphon.server.FakeRuntime;
import dev.polyphon.server.TestServer;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

class CompletionsTest {
    private static TestServer server;

    @BeforeAll
    static void start() {
        server = new TestServer();
    }

    @AfterAll
    static void stop() {
        server.close();
    }

    private static TestServer.Answer complete(String fields) {
        return server.post("/v1/completions", "{\"model\":\"" + FakeRuntime.BASE + "\"," + fields + "}");
    }

    @Test
    void answersWholly() {
        var answer = complete("\"prompt\":\"to be or\"");
        assertThat(answer.status()).isEqualTo(200);
        assertThat(answer.header("Content-Type")).isEqualTo("application/json");
        var json = answer.json();
        assertThat(json.path("object").asText()).isEqualTo("text_completion");
        assertThat(json.path("id").asText()).startsWith("cmpl-");
        assertThat(json.path("model").asText()).isEqualTo(FakeRuntime.BASE);
        assertThat(json.path("created").asLong()).isGreaterThan(1_700_000_000);
        assertThat(json.path("choices").toString())
                .isEqualTo("[{\"index\":0,\"text\":\"base:to be or\",\"logprobs\":null,\"finish_reason\":\"stop\"}]");
        assertThat(json.path("usage").toString()).isEqualTo("{\"prompt_tokens\":3,\"completion_tokens\":3,\"total_tokens\":6,\"prompt_tokens_details\":{\"cached_tokens\":0}}");
    }

    @Test
    void streams() {
        var answer = complete("\"prompt\":\"to be or\",\"stream\":true,\"max_tokens\":2");
        assertThat(answer.status()).isEqualTo(200);
        assertThat(answer.header("Content-Type")).startsWith("text/event-stream");
        assertThat(answer.events()).last().isEqualTo("[DONE]");
        var chunks = answer.chunks();
        assertThat(chunks).extracting(chunk -> chunk.at("/choices/0/text").asText()).containsExactly("base:to", " be", "");
        assertThat(chunks).extracting(chunk -> chunk.at("/choices/0/finish_reason").asText()).containsExactly("null", "null", "length");
        assertThat(chunks).allSatisfy(chunk -> assertThat(chunk.path("object").asText()).isEqualTo("text_completion"));
        assertThat(chunks).allSatisfy(chunk -> assertThat(chunk.has("usage")).isFalse());
        assertThat(chunks).extracting(chunk -> chunk.path("id").asText()).containsOnly(chunks.getFirst().path("id").asText()).first().asString().startsWith("cmpl-");
    }

    @Test
    void streamsUsageWhenAsked() {
        var chunks = complete("\"prompt\":\"to be or\",\"stream\":true,\"n\":2,\"stream_options\":{\"include_usage\":true}").chunks();
        var last = chunks.getLast();
        assertThat(last.path("choices").isEmpty()).isTrue();
        assertThat(last.path("usage").toString()).isEqualTo("{\"prompt_tokens\":3,\"completion_tokens\":6,\"total_tokens\":9,\"prompt_tokens_details\":{\"cached_tokens\":0}}");
        assertThat(chunks.subList(0, chunks.size() - 1)).allSatisfy(chunk -> assertThat(chunk.path("usage").isNull()).isTrue());
    }

    @Test
    void answersSeveralPromptsInOrder() {
        var json = complete("\"prompt\":[\"one\",\"two\",[1,2,3]],\"n\":2").json();
        assertThat(json.path("choices")).extracting(choice -> choice.path("text").asText())
                .containsExactly("base:one", "base:one", "base:two", "base:two", "base:<3 tokens>", "base:<3 tokens>");
        assertThat(json.path("choices")).extracting(choice -> choice.path("index").asInt()).containsExactly(0, 1, 2, 3, 4, 5);
        assertThat(json.at("/usage/prompt_tokens").asInt()).isEqualTo(1 + 1 + 3);
    }

    @Test
    void countsWhatWasNotComputedAgain() {
        var json = complete("\"prompt\":[\"again and\",\"again\",\"once\"]").json();
        assertThat(json.at("/usage/prompt_tokens").asInt()).isEqualTo(4);
        assertThat(json.at("/usage/prompt_tokens_details/cached_tokens").asInt()).isEqualTo(2);
    }

    @Test
    void takesTokenIds() {
        complete("\"prompt\":[5,6,7]");
        var prompt = server.runtime.requests.getLast().prompt();
        assertThat(prompt).isInstanceOf(Prompt.Tokens.class);
        assertThat(((Prompt.Tokens) prompt).ids()).containsExactly(5, 6, 7);
    }

    @Test
    void echoesThePrompt() {
        assertThat(complete("\"prompt\":[\"a b\",\"c\"],\"echo\":true,\"max_tokens\":1").json().path("choices"))
                .extracting(choice -> choice.path("text").asText())
                .containsExactly("a bbase:a", "cbase:c");
        var streamed = new StringBuilder();
        complete("\"prompt\":\"a b\",\"echo\":true,\"stream\":true").chunks().forEach(chunk -> streamed.append(chunk.at("/choices/0/text").asText()));
        assertThat(streamed.toString()).isEqualTo("a bbase:a b");
    }

    @Test
    void echoesTokenIds() {
        assertThat(complete("\"prompt\":[[97,98],[99]],\"echo\":true,\"max_tokens\":1").json().path("choices"))
                .extracting(choice -> choice.path("text").asText())
                .containsExactly("abbase:<2", "cbase:<1");
    }

    @Test
    void endsBehindThePrompt() {
        var choice = complete("\"prompt\":\"a b\",\"max_tokens\":0").json().at("/choices/0");
        assertThat(choice.toString()).isEqualTo("{\"index\":0,\"text\":\"\",\"logprobs\":null,\"finish_reason\":\"length\"}");
    }

    @Test
    void tellsHowLikelyThePromptIs() {
        var json = complete("\"prompt\":[\"hé b\",[97,98]],\"echo\":true,\"logprobs\":1,\"max_tokens\":0").json();
        assertThat(json.at("/choices/0/text").asText()).isEqualTo("hé b");
        assertThat(json.at("/choices/0/finish_reason").asText()).isEqualTo("length");
        assertThat(json.at("/choices/0/logprobs").toString()).isEqualTo("{\"tokens\":[\"<s>\",\"hé\",\" b\"],\"token_logprobs\":[null,-1.0,-2.0],"
                + "\"top_logprobs\":[null,{\"alt0\":-0.5,\"hé\":-1.0},{\"alt0\":-0.5,\" b\":-2.0}],\"text_offset\":[0,0,2]}");
        assertThat(json.at("/choices/1/text").asText()).isEqualTo("ab");
        assertThat(json.at("/choices/1/logprobs/text_offset").toString()).isEqualTo("[0,1]");
        assertThat(json.at("/choices/1/logprobs/token_logprobs").toString()).isEqualTo("[null,-1.0]");
        assertThat(json.at("/usage/completion_tokens").asInt()).isZero();
    }

    @Test
    void tellsOfPromptAndContinuations() {
        var json = complete("\"prompt\":\"a b\",\"echo\":true,\"logprobs\":0,\"max_tokens\":1,\"n\":2").json();
        assertThat(json.path("choices")).hasSize(2).allSatisfy(choice -> {
            assertThat(choice.path("text").asText()).isEqualTo("a bbase:a");
            assertThat(choice.at("/logprobs/tokens").toString()).isEqualTo("[\"<s>\",\"a\",\" b\",\"base:a\"]");
            assertThat(choice.at("/logprobs/text_offset").toString()).isEqualTo("[0,0,1,3]");
            assertThat(choice.at("/logprobs/top_logprobs/2").toString()).isEqualTo("{\" b\":-2.0}");
        });
    }

    /** As vLLM has it: the prompt comes with the first token. */
    @Test
    void streamsThePromptsLikelihoodFirst() {
        var chunks = complete("\"prompt\":\"a b\",\"echo\":true,\"logprobs\":0,\"max_tokens\":2,\"n\":2,\"stream\":true").chunks();
        for (int i = 0; i < 2; i++) {
            int index = i;
            var own = chunks.stream().filter(chunk -> chunk.at("/choices/0/index").asInt() == index).toList();
            assertThat(own.getFirst().at("/choices/0/text").asText()).isEqualTo("a bbase:a");
            assertThat(own.getFirst().at("/choices/0/logprobs/token_logprobs").toString()).startsWith("[null,-1.0,-2.0,-");
            assertThat(own.get(1).at("/choices/0/logprobs/tokens").toString()).isEqualTo("[\" b\"]");
            assertThat(own.get(1).at("/choices/0/logprobs/text_offset").toString()).isEqualTo("[" + "a bbase:a".length() + "]");
        }
        chunks = complete("\"prompt\":\"a b\",\"echo\":true,\"logprobs\":0,\"max_tokens\":0,\"stream\":true").chunks();
        assertThat(chunks).hasSize(1);
        assertThat(chunks.getFirst().at("/choices/0/text").asText()).isEqualTo("a b");
        assertThat(chunks.getFirst().at("/choices/0/logprobs/token_logprobs").toString()).isEqualTo("[null,-1.0,-2.0]");
        assertThat(chunks.getFirst().at("/choices/0/finish_reason").asText()).isEqualTo("length");
    }

    @Test
    void listsThePromptsLikelihoodAsVllmDoes() {
        var choice = complete("\"prompt\":\"a\",\"prompt_logprobs\":1,\"max_tokens\":1").json().at("/choices/0");
        assertThat(choice.path("text").asText()).isEqualTo("base:a");
        assertThat(choice.path("prompt_logprobs").toString()).isEqualTo("[null,{\"50\":{\"logprob\":-0.5,\"rank\":1,\"decoded_token\":\"alt0\"},"
                + "\"1\":{\"logprob\":-1.0,\"rank\":null,\"decoded_token\":\"a\"}}]");
        // Both at once, with alternatives of their own each.
        choice = complete("\"prompt\":\"a\",\"prompt_logprobs\":2,\"echo\":true,\"logprobs\":1,\"max_tokens\":0").json().at("/choices/0");
        assertThat(choice.at("/logprobs/top_logprobs/1").size()).isEqualTo(2);
        assertThat(choice.at("/prompt_logprobs/1").size()).isEqualTo(3);
        var chat = server.post("/v1/chat/completions", "{\"model\":\"" + FakeRuntime.BASE + "\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"prompt_logprobs\":0}").json();
        assertThat(chat.path("prompt_logprobs").size()).isEqualTo(2);
    }

    @Test
    void refusesMoreThanTheLimitOfLogprobsOfPrompts() {
        String prompt = "[97" + ",98".repeat(300) + "],";
        var answer = complete("\"prompt\":[" + prompt.repeat(199) + "[97]],\"echo\":true,\"logprobs\":20,\"max_tokens\":0");
        assertThat(answer.status()).isEqualTo(400);
        assertThat(answer.json().at("/error/param").asText()).isEqualTo("logprobs");
        assertThat(answer.json().at("/error/message").asText()).contains("1000000", "each token counts 21");
    }

    @Test
    void reportsLogprobs() {
        var logprobs = complete("\"prompt\":\"hé two\",\"logprobs\":2").json().at("/choices/0/logprobs");
        assertThat(logprobs.path("tokens").toString()).isEqualTo("[\"base:hé\",\" two\"]");
        assertThat(logprobs.path("token_logprobs").toString()).isEqualTo("[-2.0,-2.0]");
        assertThat(logprobs.path("text_offset").toString()).isEqualTo("[0,7]");
        assertThat(logprobs.path("top_logprobs").toString()).isEqualTo("[{\"base:hé\":-2.0,\"alt1\":-4.0},{\" two\":-2.0,\"alt1\":-4.0}]");
    }

    @Test
    void streamsLogprobsWithRunningOffsets() {
        var chunks = complete("\"prompt\":\"one two\",\"logprobs\":0,\"stream\":true").chunks();
        assertThat(chunks.get(0).at("/choices/0/logprobs/text_offset/0").asInt()).isZero();
        assertThat(chunks.get(1).at("/choices/0/logprobs/text_offset/0").asInt()).isEqualTo("base:one".length());
        assertThat(chunks.get(1).at("/choices/0/logprobs/top_logprobs/0").toString()).isEqualTo("{\" two\":-2.0}");
        assertThat(chunks.get(2).at("/choices/0/logprobs").isNull()).isTrue();
    }

    @Test
    void choosesTheLikeliestOfSeveral() {
        var json = complete("\"prompt\":\"x\",\"best_of\":3,\"n\":1,\"logprobs\":1").json();
        assertThat(json.path("choices").size()).isEqualTo(1);
        assertThat(json.at("/choices/0/logprobs/token_logprobs/0").asDouble()).isEqualTo(-2 / 3.0, org.assertj.core.api.Assertions.within(1e-6));
        assertThat(json.at("/usage/completion_tokens").asInt()).isEqualTo(3);
    }
}
