package dev.polyphon.server.openai;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polyphon.runtime.Grammar;
import dev.polyphon.runtime.Sampling;
import dev.polyphon.runtime.Scheduling;
import dev.polyphon.server.FakeRuntime;
import dev.polyphon.server.TestServer;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

class SamplingTest {
    private static TestServer server;

    @BeforeAll
    static void start() {
        server = new TestServer();
    }

    @AfterAll
    static void stop() {
        server.close();
    }

    private static Sampling sampling(String fields) {
        var answer = server.post("/v1/completions", "{\"model\":\"" + FakeRuntime.BASE + "\",\"prompt\":\"x\"" + fields + "}");
        assertThat(answer.status()).as(answer.body()).isEqualTo(200);
        return server.runtime.requests.getLast().sampling();
    }

    @Test
    void hasOpenAisDefaults() {
        assertThat(sampling("")).isEqualTo(Sampling.builder().maxTokens(16).build());
        assertThat(sampling(",\"temperature\":null,\"stop\":null,\"seed\":null,\"unheard_of\":{\"x\":1}")).isEqualTo(Sampling.builder().maxTokens(16).build());
    }

    @Test
    void takesEveryField() {
        var expected = Sampling.builder()
                .temperature(0.5f)
                .topP(0.9f)
                .topK(40)
                .minP(0.1f)
                .repetitionPenalty(1.1f)
                .presencePenalty(-1)
                .frequencyPenalty(2)
                .logitBias(Map.of(5, -100f, 999, 1.5f))
                .seed(-7)
                .stop(List.of("a", "b"))
                .stopTokens(Set.of(1, 2))
                .minTokens(3)
                .maxTokens(9)
                .ignoreEos(true)
                .logprobs(4)
                .build();
        assertThat(sampling("""
                ,"temperature":0.5,"top_p":0.9,"top_k":40,"min_p":0.1,"repetition_penalty":1.1,"presence_penalty":-1,"frequency_penalty":2.0,
                "logit_bias":{"5":-100,"999":1.5},"seed":-7,"stop":["a","b"],"stop_token_ids":[1,2],"min_tokens":3,"max_tokens":9,"ignore_eos":true,
                "logprobs":4,"user":"ann"
                """)).isEqualTo(expected);
    }

    @Test
    void takesOtherSpellingsOfTheSame() {
        assertThat(sampling(",\"stop\":\"x\"").stop()).containsExactly("x");
        assertThat(sampling(",\"top_k\":-1").topK()).isZero();
        assertThat(sampling(",\"max_tokens\":3.0").maxTokens()).isEqualTo(3);
        assertThat(sampling(",\"temperature\":0").temperature()).isZero();
    }

    @Test
    void readsWhatTheOutputMustLookLike() {
        var schema = new Grammar.JsonSchema("{\"type\":\"object\"}");
        assertThat(sampling(",\"response_format\":{\"type\":\"text\"}").grammar()).isNull();
        assertThat(sampling(",\"response_format\":{\"type\":\"json_object\"}").grammar()).isEqualTo(new Grammar.JsonObject());
        assertThat(sampling(",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"x\",\"strict\":true,\"schema\":" + schema.schema()
                + "}}").grammar()).isEqualTo(schema);
        assertThat(sampling(",\"guided_json\":" + schema.schema()).grammar()).isEqualTo(schema);
        assertThat(sampling(",\"structured_outputs\":{\"json\":\"{\\\"type\\\":\\\"object\\\"}\"}").grammar()).isEqualTo(schema);
        assertThat(sampling(",\"grammar\":\"root ::= [a]\"").grammar()).isEqualTo(new Grammar.Rules("root ::= [a]"));
        assertThat(sampling(",\"regex\":\"a+\"").grammar()).isEqualTo(new Grammar.Regex("a+"));
        assertThat(sampling(",\"structured_outputs\":{\"choice\":[\"a\",\"b\"]}").grammar()).isEqualTo(new Grammar.Choice(List.of("a", "b")));
    }

    @Test
    void asksForAPlaceAmongItsTenantsRequests() {
        sampling(",\"priority\":-2,\"queue_timeout\":1.5");
        assertThat(server.runtime.requests.getLast().scheduling()).isEqualTo(
                Scheduling.of(server.runtime.requests.getLast().tenant()).withPriority(2).withMaxWait(Duration.ofMillis(1500)));
        sampling(",\"cache_salt\":\"s\"");
        assertThat(server.runtime.requests.getLast().scheduling().cacheScope()).contains("s").startsWith(server.runtime.requests.getLast().tenant());
        sampling(",\"cache_prompt\":false");
        assertThat(server.runtime.requests.getLast().scheduling().cacheScope()).isEqualTo(Scheduling.UNCACHED);
        sampling("");
        assertThat(server.runtime.requests.getLast().scheduling()).isEqualTo(Scheduling.of(server.runtime.requests.getLast().tenant()));
    }
}
