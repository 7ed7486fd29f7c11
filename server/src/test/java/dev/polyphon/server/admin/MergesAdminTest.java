package dev.polyphon.server.admin;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import dev.polyphon.server.TestServer;
import java.net.http.HttpRequest.BodyPublishers;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Merges as operators see them; what merging does is the runtime's matter. */
class MergesAdminTest {
    private static final String ALL = "/admin/v1/merges";

    private TestServer server = new TestServer();

    @AfterEach
    void stop() {
        server.close();
    }

    private TestServer.Answer send(String method, String path, String body) {
        return server.send(server.request(path, "Content-Type", "application/json").method(method, body == null ? BodyPublishers.noBody() : BodyPublishers.ofString(body)));
    }

    @Test
    void mergesAndUnmergesByHand() {
        JsonNode merge = server.post(ALL, "{\"adapters\": [{\"id\": \"french\", \"weight\": 0.7}, {\"id\": \"german\", \"weight\": 0.3}]}").json();
        assertThat(merge.path("status").asText()).isEqualTo("merged");
        assertThat(merge.path("cause").asText()).isEqualTo("operator");
        assertThat(merge.at("/adapters/1/id").asText()).isEqualTo("german");
        assertThat(merge.at("/adapters/1/weight").floatValue()).isEqualTo(0.3f);
        assertThat(merge.has("saving")).isFalse();
        JsonNode all = server.get(ALL).json();
        assertThat(all.path("mode").asText()).isEqualTo("never");
        assertThat(all.path("bytes").asLong()).isEqualTo(100);
        assertThat(all.path("budget").asLong()).isEqualTo(300);
        assertThat(all.path("data")).containsExactly(merge);
        String one = ALL + "/" + merge.path("id").asText();
        assertThat(server.get(one).json()).isEqualTo(merge);
        assertThat(send("DELETE", one, null).json()).isEqualTo(merge);
        assertThat(server.get(ALL).json().path("data")).isEmpty();
        assertThat(server.get(one).status()).isEqualTo(404);
    }

    @Test
    void changesTheMode() {
        assertThat(send("PATCH", ALL, "{\"mode\": \"pinned:org/french\"}").json().path("mode").asText()).isEqualTo("pinned:org/french");
        assertThat(send("PATCH", ALL, "{\"mode\": \"auto\"}").json().path("mode").asText()).isEqualTo("auto");
        assertThat(server.get(ALL).json().path("mode").asText()).isEqualTo("auto");
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {
            "POST   | ''   | {}                                            | 400 | adapters",
            "POST   | ''   | {\"adapters\": []}                            | 400 | at least one",
            "POST   | ''   | {\"adapters\": [\"none\"]}                    | 404 | none is not registered",
            "POST   | ''   | {\"adapters\": [{\"id\": \"french\", \"w\": 1}]} | 400 | adapters[0].w",
            "POST   | ''   | {\"adapters\": [\"french\"], \"adapter\": 1}  | 400 | Unknown parameter: 'adapter'",
            "PATCH  | ''   | {\"mode\": \"always\"}                        | 400 | mode must be never, auto or pinned:ADAPTER, found 'always'",
            "PATCH  | ''   | {}                                            | 400 | mode",
            "DELETE | /17  |                                               | 404 | There is no merge '17'",
            "GET    | /x   |                                               | 404 | There is no merge 'x'"})
    void saysWhatIsWrong(String method, String below, String body, int status, String message) {
        var answer = send(method, ALL + below, body);
        assertThat(answer.status()).as(answer.body()).isEqualTo(status);
        assertThat(answer.json().at("/error/message").asText()).contains(message);
    }

    @Test
    void withoutRoomNothingIsMerged() {
        for (int i = 0; i < 3; i++) {
            assertThat(server.post(ALL, "{\"adapters\": [\"french\"]}").status()).isEqualTo(200);
        }
        assertThat(server.post(ALL, "{\"adapters\": [\"french\"]}").status()).isEqualTo(507);
    }

    @Test
    void canBeForbidden() {
        server.close();
        server = new TestServer("adapters.loading=false");
        assertThat(server.get(ALL).status()).isEqualTo(200);
        assertThat(server.post(ALL, "{\"adapters\": [\"french\"]}").status()).isEqualTo(403);
        assertThat(send("PATCH", ALL, "{\"mode\": \"auto\"}").status()).isEqualTo(403);
        assertThat(send("DELETE", ALL + "/1", null).status()).isEqualTo(403);
    }
}
