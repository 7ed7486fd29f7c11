package dev.polyphon.server.openapi;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.networknt.schema.JsonSchemaFactory;
import com.networknt.schema.SpecVersion;
import dev.polyphon.server.FakeRuntime;
import dev.polyphon.server.TestServer;
import dev.polyphon.server.tenant.Role;
import java.io.IOException;
import java.net.http.HttpRequest;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;

/** Holds the document to what the server does. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class OpenApiTest {
    private static final List<String> METHODS = List.of("get", "post", "put", "patch", "delete");

    private TestServer server;
    private JsonNode document;
    private String key;
    private final Set<String> asked = new HashSet<>();

    @BeforeAll
    void start(@TempDir Path store) throws IOException {
        server = new TestServer("tenants.store=" + store);
        document = server.get("/openapi.json").json();
        var tenants = server.server.tenancy().tenants().orElseThrow();
        tenants.create("ops", JsonNodeFactory.instance.objectNode());
        key = tenants.createKey("ops", Role.OPERATOR, "", null).text();
    }

    @AfterAll
    void stop() {
        server.close();
    }

    private Set<String> documented() {
        var operations = new TreeSet<String>();
        document.path("paths").properties().forEach(path -> METHODS.stream().filter(path.getValue()::has)
                .forEach(method -> operations.add(method.toUpperCase(Locale.ROOT) + " " + path.getKey())));
        return operations;
    }

    private static String nameless(String operation) {
        return operation.replaceAll("\\{[^/]*}", "{}");
    }

    @Test
    void everyRouteIsDescribedAndNothingElse() {
        Set<String> described = new TreeSet<>();
        documented().forEach(operation -> described.add(nameless(operation)));
        Set<String> unknown = new TreeSet<>(described);
        for (String route : server.server.routes()) {
            if (route.startsWith("GET /console") && !route.endsWith("/adapters") || route.endsWith(" /v2/*")
                    || route.matches("POST /[\\w.]+\\.[A-Z]\\w+/\\*")) {
                // Files, what has no handler, and services of gRPC, which tell of themselves by reflection.
                continue;
            }
            if (route.endsWith("/*")) {
                String prefix = route.substring(0, route.length() - 1) + "{}";
                assertThat(described).as(route).anyMatch(operation -> operation.startsWith(prefix));
                unknown.removeIf(operation -> operation.startsWith(prefix));
            } else {
                assertThat(described).contains(nameless(route));
                unknown.remove(nameless(route));
            }
        }
        assertThat(unknown).as("described, and not there").isEmpty();
    }

    @Test
    void everyReferenceLeadsSomewhere() {
        var references = document.findValuesAsText("$ref");
        assertThat(references).isNotEmpty().allSatisfy(reference -> assertThat(document.at(reference.substring(1)).isMissingNode()).as(reference).isFalse());
        var ids = document.findValuesAsText("operationId");
        assertThat(ids).doesNotHaveDuplicates().hasSameSizeAs(documented());
    }

    /** One good request for most operations, and a bad one for many, each answered as described. */
    @Test
    void answersAreAsDescribed() {
        String base = FakeRuntime.BASE;
        is(200, "POST /v1/completions", "/v1/completions", "{\"model\": \"french\", \"prompt\": \"a b\", \"logprobs\": 1}");
        is(400, "POST /v1/completions", "/v1/completions", "{\"model\": \"french\"}");
        is(200, "POST /v1/chat/completions", "/v1/chat/completions", "{\"model\": \"" + base + "\", \"messages\": [{\"role\": \"user\", \"content\": \"x\"}]}");
        is(404, "POST /v1/chat/completions", "/v1/chat/completions", "{\"model\": \"none\", \"messages\": []}");
        is(200, "POST /v1/embeddings", "/v1/embeddings", "{\"model\": \"french\", \"input\": [\"a b\", \"c\"]}");
        is(200, "POST /v1/embeddings", "/v1/embeddings", "{\"model\": \"french\", \"input\": [1, 2], \"encoding_format\": \"base64\"}");
        is(400, "POST /v1/embeddings", "/v1/embeddings", "{\"model\": \"french\"}");
        is(200, "POST /v1/tokenize", "/v1/tokenize", "{\"model\": \"french\", \"prompt\": \"a b\", \"return_token_strs\": true}");
        is(200, "POST /v1/detokenize", "/v1/detokenize", "{\"model\": \"french\", \"tokens\": [97]}");
        is(200, "GET /v1/models", "/v1/models", null);
        is(200, "GET /v1/models/{model}", "/v1/models/" + base, null);
        is(404, "GET /v1/models/{model}", "/v1/models/none", null);
        is(404, "POST /v1/load_lora_adapter", "/v1/load_lora_adapter", "{\"lora_name\": \"x\", \"lora_path\": \"/none\"}");
        is(404, "POST /v1/unload_lora_adapter", "/v1/unload_lora_adapter", "{\"lora_name\": \"x\"}");
        is(200, "GET /v2", "/v2", null);
        is(200, "GET /v2/models/{model}", "/v2/models/french", null);
        is(404, "GET /v2/models/{model}", "/v2/models/none", null);
        is(200, "GET /v2/models/{model}/config", "/v2/models/french/config", null);
        is(200, "GET /v2/models/stats", "/v2/models/stats", null);
        is(200, "POST /v2/models/{model}/generate", "/v2/models/french/generate", "{\"text_input\": \"x\"}");
        is(400, "POST /v2/models/{model}/infer", "/v2/models/french/infer", "{\"inputs\": []}");
        is(200, "POST /v2/repository/index", "/v2/repository/index", "{}");
        is(200, "GET /v2/cudasharedmemory/status", "/v2/cudasharedmemory/status", null);
        is(200, "GET /admin/v1/adapters", "/admin/v1/adapters?limit=1&prefix=f&tier=disk&failed=false&deleted=false&label=a:b&owner=ops", null);
        is(200, "GET /admin/v1/adapters", "/admin/v1/adapters", null);
        is(400, "GET /admin/v1/adapters", "/admin/v1/adapters?limit=0", null);
        is(200, "GET /admin/v1/adapters/{name}", "/admin/v1/adapters/french", null);
        is(404, "GET /admin/v1/adapters/{name}", "/admin/v1/adapters/none", null);
        is(200, "PATCH /admin/v1/adapters/{name}", "/admin/v1/adapters/french", "{\"pinned\": true}");
        is(200, "GET /admin/v1/adapters/{name}/versions", "/admin/v1/adapters/french/versions", null);
        is(200, "GET /admin/v1/operations", "/admin/v1/operations", null);
        is(404, "GET /admin/v1/operations/{id}", "/admin/v1/operations/none", null);
        is(200, "POST /admin/v1/merges", "/admin/v1/merges", "{\"adapters\": [\"french\"], \"owner\": null}");
        is(404, "POST /admin/v1/merges", "/admin/v1/merges", "{\"adapters\": [{\"id\": \"none\", \"weight\": 0.5, \"task\": null}]}");
        is(200, "GET /admin/v1/merges", "/admin/v1/merges", null);
        is(200, "GET /admin/v1/merges/{id}", "/admin/v1/merges/1", null);
        is(200, "DELETE /admin/v1/merges/{id}", "/admin/v1/merges/1", null);
        is(404, "DELETE /admin/v1/merges/{id}", "/admin/v1/merges/1", null);
        is(200, "PATCH /admin/v1/merges", "/admin/v1/merges", "{\"mode\": \"auto\"}");
        is(200, "GET /admin/v1/scheduler", "/admin/v1/scheduler?limit=1", null);
        is(400, "GET /admin/v1/scheduler", "/admin/v1/scheduler?limits=1", null);
        is(200, "POST /admin/v1/drain", "/admin/v1/drain", "{\"retry_after\": 5}");
        is(200, "GET /admin/v1/drain", "/admin/v1/drain", null);
        is(503, "POST /v1/completions", "/v1/completions", "{\"model\": \"french\", \"prompt\": \"a b\"}");
        is(503, "POST /v2/models/{model}/generate", "/v2/models/french/generate", "{\"text_input\": \"x\"}");
        is(503, "GET /health/ready", "/health/ready", null);
        is(200, "DELETE /admin/v1/drain", "/admin/v1/drain", null);
        is(400, "POST /admin/v1/drain", "/admin/v1/drain", "{\"retry_after\": 0}");
        is(200, "GET /admin/v1/log-level", "/admin/v1/log-level", null);
        is(200, "PUT /admin/v1/log-level", "/admin/v1/log-level", "{\"level\": \"info\", \"logger\": \"dev.polyphon\"}");
        is(200, "PUT /admin/v1/log-level", "/admin/v1/log-level", "{\"level\": null, \"logger\": \"dev.polyphon\"}");
        is(400, "PUT /admin/v1/log-level", "/admin/v1/log-level", "{}");
        is(200, "POST /admin/v1/tenants", "/admin/v1/tenants", "{\"name\": \"acme\", \"limits\": {\"tokens_per_day\": 5}, \"default_adapter\": null}");
        is(409, "POST /admin/v1/tenants", "/admin/v1/tenants", "{\"name\": \"acme\"}");
        is(200, "GET /admin/v1/tenants", "/admin/v1/tenants", null);
        is(200, "PATCH /admin/v1/tenants/{name}", "/admin/v1/tenants/acme", "{\"share\": 2}");
        is(200, "GET /admin/v1/tenants/{name}", "/admin/v1/tenants/acme", null);
        var made = is(200, "POST /admin/v1/tenants/{name}/keys", "/admin/v1/tenants/acme/keys", "{\"expires_in\": 60}");
        is(200, "GET /admin/v1/tenants/{name}/keys", "/admin/v1/tenants/acme/keys", null);
        String id = made.path("id").asText();
        is(200, "GET /admin/v1/keys/{id}", "/admin/v1/keys/" + id, null);
        is(200, "POST /admin/v1/keys/{id}/rotate", "/admin/v1/keys/" + id + "/rotate", "{\"overlap\": 5}");
        is(200, "DELETE /admin/v1/keys/{id}", "/admin/v1/keys/" + id, null);
        is(200, "DELETE /admin/v1/tenants/{name}", "/admin/v1/tenants/acme", null);
        is(200, "GET /admin/v1/usage", "/admin/v1/usage?tenant=ops&from=2020-01-01&to=2100-01-01T00:00:00Z&period=total&format=json", null);
        is(200, "GET /v1/usage", "/v1/usage", null);
        is(200, "GET /admin/v1/audit", "/admin/v1/audit?limit=5&before=1000", null);
        is(200, "GET /console/adapters", "/console/adapters", null);
        is(200, "GET /health", "/health", null);
        is(200, "GET /version", "/version", null);
        assertThat(documented()).containsAll(asked);
    }

    private JsonNode is(int status, String operation, String path, String body) {
        asked.add(operation);
        String method = operation.substring(0, operation.indexOf(' '));
        var request = server.request(path, "Authorization", "Bearer " + key, "Content-Type", "application/json")
                .method(method, body == null ? HttpRequest.BodyPublishers.noBody() : HttpRequest.BodyPublishers.ofString(body));
        var answer = server.send(request);
        assertThat(answer.status()).as(operation + ": " + answer.body()).isEqualTo(status);
        ObjectNode schema = JsonNodeFactory.instance.objectNode();
        schema.set("components", document.path("components"));
        JsonNode described = schema(operation, status);
        assertThat(described.isMissingNode()).as(operation + " describes " + status).isFalse();
        schema.putArray("allOf").add(described);
        var wrong = JsonSchemaFactory.getInstance(SpecVersion.VersionFlag.V202012).getSchema(schema).validate(answer.json());
        assertThat(wrong).as(operation + ": " + answer.body()).isEmpty();
        return answer.json();
    }

    private JsonNode schema(String operation, int status) {
        String[] parts = operation.split(" ");
        JsonNode responses = document.path("paths").path(parts[1]).path(parts[0].toLowerCase(Locale.ROOT)).path("responses");
        JsonNode response = responses.has(Integer.toString(status)) ? responses.path(Integer.toString(status)) : responses.path(status / 100 + "XX");
        if (response.has("$ref")) {
            response = document.at(response.path("$ref").asText().substring(1));
        }
        return response.path("content").path("application/json").path("schema");
    }
}
