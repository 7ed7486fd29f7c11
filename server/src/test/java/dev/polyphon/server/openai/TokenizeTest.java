package dev.polyphon.server.openai;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polyphon.server.FakeRuntime;
import dev.polyphon.server.TestServer;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class TokenizeTest {
    private static TestServer server;

    @BeforeAll
    static void start() {
        server = new TestServer();
    }

    @AfterAll
    static void stop() {
        server.close();
    }

    private static TestServer.Answer ask(String path, String fields) {
        return server.post(path, "{\"model\":\"" + FakeRuntime.BASE + "\"," + fields + "}");
    }

    @Test
    void tokenizesTexts() {
        assertThat(ask("/v1/tokenize", "\"prompt\":\"ab\"").body())
                .isEqualTo("{\"count\":3,\"max_model_len\":512,\"tokens\":[0,97,98],\"token_strs\":null}");
        assertThat(ask("/tokenize", "\"prompt\":\"ab\",\"add_special_tokens\":false,\"return_token_strs\":true").body())
                .isEqualTo("{\"count\":2,\"max_model_len\":512,\"tokens\":[97,98],\"token_strs\":[\"a\",\"b\"]}");
    }

    @Test
    void tokenizesConversations() {
        assertThat(ask("/v1/tokenize", "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]").json().path("tokens").toString()).isEqualTo("[104,105]");
    }

    @Test
    void detokenizesWithSpecialTokensWrittenOut() {
        assertThat(ask("/v1/detokenize", "\"tokens\":[0,97,98]").body()).isEqualTo("{\"prompt\":\"<s>ab\"}");
        assertThat(ask("/detokenize", "\"tokens\":[]").body()).isEqualTo("{\"prompt\":\"\"}");
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {"/v1/tokenize|\"x\":1|prompt", "/v1/tokenize|\"prompt\":[1]|prompt",
        "/v1/tokenize|\"prompt\":\"a\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]|prompt", "/v1/detokenize|\"x\":1|tokens",
        "/v1/detokenize|\"tokens\":[1000]|tokens[0]"})
    void refuses(String path, String fields, String param) {
        var answer = ask(path, fields);
        assertThat(answer.status()).isEqualTo(400);
        assertThat(answer.error().path("param").asText()).isEqualTo(param);
    }

    @Test
    void knowsItsModels() {
        assertThat(server.post("/v1/tokenize", "{\"model\":\"none\",\"prompt\":\"a\"}").status()).isEqualTo(404);
    }
}
