package dev.polyphon.server.openai;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polyphon.runtime.Pooling;
import dev.polyphon.runtime.Prompt;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.server.FakeRuntime;
import dev.polyphon.server.TestServer;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Base64;
import java.util.Collections;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class EmbeddingsTest {
    private TestServer server;

    @BeforeEach
    void start() {
        server = new TestServer("limits.sequences=3", "embeddings.inputs=40");
        server.runtime.addAdapter("tuned");
    }

    @AfterEach
    void stop() {
        server.close();
    }

    private TestServer.Answer embed(String fields) {
        return server.post("/v1/embeddings", "{\"model\":\"" + FakeRuntime.BASE + "\"," + fields + "}");
    }

    @Test
    void answersInOpenAisShape() {
        var answer = embed("\"input\":\"one two three\",\"user\":\"u\"");
        assertThat(answer.status()).isEqualTo(200);
        assertThat(answer.body()).isEqualTo("{\"object\":\"list\",\"data\":[{\"object\":\"embedding\",\"index\":0,\"embedding\":[3.0,0.0,0.0,1.0]}],"
                + "\"model\":\"" + FakeRuntime.BASE + "\",\"usage\":{\"prompt_tokens\":3,\"total_tokens\":3}}");
    }

    @Test
    void takesTextsAndTokens() {
        assertThat(embed("\"input\":[\"a b\",\"c\"]").json().path("data")).extracting(one -> one.at("/embedding/0").asInt()).containsExactly(2, 1);
        assertThat(embed("\"input\":[5,6,7]").json().at("/data/0/embedding/0").asInt()).isEqualTo(3);
        assertThat(embed("\"input\":[[5,6],[7]]").json().at("/usage/prompt_tokens").asInt()).isEqualTo(3);
        assertThat(server.runtime.embeddings.getLast().prompt()).isInstanceOf(Prompt.Tokens.class);
        assertThat(((Prompt.Text) server.runtime.embeddings.getFirst().prompt()).addSpecialTokens()).isTrue();
    }

    @Test
    void encodesAsBytes() {
        byte[] bytes = Base64.getDecoder().decode(embed("\"input\":\"x\",\"encoding_format\":\"base64\",\"normalize\":false").json().at("/data/0/embedding").asText());
        var floats = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer();
        assertThat(floats.remaining()).isEqualTo(4);
        assertThat(new float[] {floats.get(), floats.get(), floats.get(), floats.get()}).containsExactly(1, 0, 0, 0.1f);
    }

    @Test
    void appliesAdaptersAndPools() {
        assertThat(server.post("/v1/embeddings", "{\"model\":\"tuned\",\"input\":\"x\",\"pooling\":\"last\"}").json().at("/data/0/embedding/1").asInt()).isEqualTo(1);
        assertThat(server.runtime.embeddings.getLast().pooling()).isEqualTo(Pooling.LAST);
        try (var other = new TestServer("embeddings.pooling=last")) {
            other.post("/v1/embeddings", "{\"model\":\"" + FakeRuntime.BASE + "\",\"input\":\"x\"}");
            assertThat(other.runtime.embeddings.getLast().pooling()).isEqualTo(Pooling.LAST);
        }
    }

    /** More texts than the runtime may have at a time are handed to it bit by bit. */
    @Test
    void keepsSoManyInTheRuntimesHandsAtATime() {
        var answer = embed("\"input\":[" + String.join(",", Collections.nCopies(40, "\"a b\"")) + "]");
        assertThat(answer.status()).isEqualTo(200);
        assertThat(answer.json().path("data")).hasSize(40).extracting(one -> one.path("index").asInt()).isSorted();
        assertThat(server.runtime.mostEmbedding.get()).isBetween(1, 3);
        assertThat(server.runtime.embeddings).hasSize(40);
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {
        "\"x\":1|input|missing_required_parameter", "\"input\":[]|input|empty_array", "\"input\":3|input|invalid_type", "\"input\":[[]]|input[0]|empty_array",
        "\"input\":\"x\",\"dimensions\":3|dimensions|invalid_value", "\"input\":\"x\",\"dimensions\":0|dimensions|integer_below_min_value",
        "\"input\":\"x\",\"encoding_format\":\"hex\"|encoding_format|invalid_value", "\"input\":\"x\",\"pooling\":\"cls\"|pooling|invalid_value",
        "\"input\":[1000]|input[0]|integer_above_max_value", "\"input\":\"x\",\"truncate_prompt_tokens\":5|truncate_prompt_tokens|unsupported_parameter"})
    void refuses(String fields, String param, String code) {
        var answer = embed(fields);
        assertThat(answer.status()).as(answer.body()).isEqualTo(400);
        assertThat(answer.error().path("param").asText()).isEqualTo(param);
        assertThat(answer.error().path("code").asText()).isEqualTo(code);
    }

    @Test
    void limitsTheTextsAndTakesTheOwnDimensions() {
        assertThat(embed("\"input\":[" + String.join(",", Collections.nCopies(41, "\"a\"")) + "]").error().path("code").asText()).isEqualTo("array_above_max_length");
        assertThat(embed("\"input\":\"x\",\"dimensions\":4").status()).isEqualTo(200);
    }

    @Test
    void tellsWhatTheRuntimeFound() {
        server.runtime.fault = RuntimeFault.invalid("prompt", "the prompt has no tokens; at least 1 is needed");
        var answer = embed("\"input\":\"\"");
        assertThat(answer.status()).isEqualTo(400);
        assertThat(answer.error().path("param").asText()).isEqualTo("input");
    }
}
