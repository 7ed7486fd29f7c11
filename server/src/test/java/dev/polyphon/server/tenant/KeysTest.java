package dev.polyphon.server.tenant;

import static dev.polyphon.server.Eventually.eventually;
import static dev.polyphon.server.tenant.TenantServer.bearer;
import static org.assertj.core.api.Assertions.assertThat;

import dev.polyphon.server.FakeRuntime;
import java.io.IOException;
import java.net.http.HttpRequest.BodyPublishers;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermission;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Who is let in. */
class KeysTest {
    @TempDir
    private Path store;

    private TenantServer server;

    @BeforeEach
    void start() {
        server = new TenantServer(store);
    }

    @AfterEach
    void stop() {
        server.close();
    }

    @Test
    void everythingButProbesNeedsAKey() {
        for (String path : new String[] {"/health", "/health/live", "/health/ready", "/ping", "/version", "/console", "/console/console.js"}) {
            assertThat(server.http.get(path).status()).as(path).isEqualTo(200);
        }
        for (String path : new String[] {"/v1/models", "/v1/models/french", "/v1/usage", "/metrics", "/admin/v1/tenants", "/admin/v1/adapters", "/console/adapters"}) {
            var refused = server.http.get(path);
            assertThat(refused.status()).as(path).isEqualTo(401);
            assertThat(refused.header("WWW-Authenticate")).isEqualTo("Bearer");
            assertThat(refused.error().path("code").asText()).isEqualTo("invalid_api_key");
        }
        assertThat(server.http.get("/nowhere").status()).isEqualTo(404);
        assertThat(server.http.runtime.requests).isEmpty();
    }

    @Test
    void takesAKeyInTheHeadersThatClientsSend() {
        String key = server.tenant("acme", "");
        assertThat(server.http.get("/v1/models", "Authorization", "Bearer " + key).status()).isEqualTo(200);
        assertThat(server.http.get("/v1/models", "Authorization", "bearer  " + key).status()).isEqualTo(200);
        assertThat(server.http.get("/v1/models", "X-API-Key", key).status()).isEqualTo(200);
        assertThat(server.http.get("/v1/models", "api-key", key).status()).isEqualTo(200);
        assertThat(server.http.get("/v1/models", "Authorization", "Basic " + key).status()).isEqualTo(401);
    }

    @Test
    void refusesWhatIsNoKeyAndShowsLittleOfIt() {
        String key = server.tenant("acme", "");
        String other = key.substring(0, key.length() - 1) + (key.endsWith("A") ? 'B' : 'A');
        for (String wrong : new String[] {other, "sk-abcdefghijklmnopqrstuvwxyz", "x", "pk_aaaaaaaaaaaa_" + "A".repeat(43), key + "A", "eyJ.eyJ.x"}) {
            var refused = server.http.get("/v1/models", bearer(wrong));
            assertThat(refused.status()).as(wrong).isEqualTo(401);
            assertThat(refused.body()).doesNotContain(wrong.length() < 3 ? "\u0000" : wrong);
        }
    }

    @Test
    void onlyOperatorsAdminister() {
        String tenant = server.tenant("acme", "");
        String monitor = server.key("acme", "{\"role\": \"monitor\"}").path("key").asText();
        var routes = server.http.server.routes().stream().filter(route -> route.contains(" /admin/")).toList();
        assertThat(routes).contains("POST /admin/v1/drain", "PUT /admin/v1/log-level", "GET /admin/v1/scheduler");
        for (String route : routes) {
            String[] parts = route.split(" ");
            for (String key : new String[] {tenant, monitor, null}) {
                String[] headers = key == null ? new String[0] : bearer(key);
                var refused = server.http.send(server.http.request(parts[1].replaceAll("\\{\\w+}", "x"), headers).method(parts[0], BodyPublishers.noBody()));
                assertThat(refused.status()).as(route).isEqualTo(key == null ? 401 : 403);
            }
        }
        assertThat(server.http.get("/health/ready").status()).isEqualTo(200);
    }

    @Test
    void rolesOpenWhatTheyShould() {
        String tenant = server.tenant("acme", "");
        String monitor = server.key("acme", "{\"role\": \"monitor\"}").path("key").asText();
        assertThat(server.http.get("/metrics", bearer(monitor)).status()).isEqualTo(200);
        assertThat(server.http.get("/metrics", bearer(server.operator)).status()).isEqualTo(200);
        var metrics = server.http.get("/metrics", bearer(tenant));
        assertThat(metrics.status()).isEqualTo(403);
        assertThat(metrics.error().path("message").asText()).contains("role 'tenant'").contains("needs the role 'monitor'");
        assertThat(server.complete(monitor, "french", "x", 1).status()).isEqualTo(403);
        assertThat(server.http.get("/admin/v1/tenants", bearer(tenant)).status()).isEqualTo(403);
        assertThat(server.http.get("/admin/v1/tenants", bearer(monitor)).status()).isEqualTo(403);
        assertThat(server.complete(server.operator, "french", "x", 1).status()).isEqualTo(200);
    }

    @Test
    void keysAreShownOnceAndKeptHashed() throws IOException {
        var made = server.admin("POST", "tenants", "{\"name\": \"acme\"}");
        assertThat(made.status()).as(made.body()).isEqualTo(200);
        String key = server.key("acme", "{\"label\": \"laptop\"}").path("key").asText();
        assertThat(key).matches("pk_[a-z0-9]{12}_[A-Za-z0-9_-]{43}");
        var listed = server.admin("GET", "tenants/acme/keys", "");
        assertThat(listed.json().at("/data/0/label").asText()).isEqualTo("laptop");
        assertThat(listed.body()).doesNotContain(key).doesNotContain(key.substring(16)).doesNotContain("hash");
        server.close();
        byte[] secret = key.substring(16).getBytes(StandardCharsets.US_ASCII);
        try (var files = Files.list(store)) {
            for (Path file : files.toList()) {
                assertThat(new String(Files.readAllBytes(file), StandardCharsets.ISO_8859_1)).as(file.toString()).doesNotContain(new String(secret, StandardCharsets.US_ASCII));
                assertThat(Files.getPosixFilePermissions(file)).doesNotContain(PosixFilePermission.GROUP_READ, PosixFilePermission.OTHERS_READ);
            }
        }
        server = new TenantServer(store);
        assertThat(server.http.get("/v1/models", bearer(key)).status()).as("after a restart").isEqualTo(200);
    }

    @Test
    void rotationLetsBothKeysInForAWhile() throws Exception {
        var first = server.key(named("acme"), "{}");
        String id = first.path("id").asText();
        var second = server.admin("POST", "keys/" + id + "/rotate", "{\"overlap\": 3600}").json();
        assertThat(second.path("key").asText()).isNotEqualTo(first.path("key").asText());
        for (var key : new String[] {first.path("key").asText(), second.path("key").asText()}) {
            assertThat(server.http.get("/v1/models", bearer(key)).status()).isEqualTo(200);
        }
        var old = server.admin("GET", "keys/" + id, "").json();
        assertThat(old.path("expires").asLong() - old.path("created").asLong()).isBetween(3590L, 3660L);
        var third = server.admin("POST", "keys/" + second.path("id").asText() + "/rotate", "{\"overlap\": 0}").json();
        var expired = server.http.get("/v1/models", bearer(second.path("key").asText()));
        assertThat(expired.status()).isEqualTo(401);
        assertThat(expired.error().path("message").asText()).contains("is expired");
        assertThat(server.admin("POST", "keys/" + second.path("id").asText() + "/rotate", "{}").status()).isEqualTo(409);
        assertThat(server.http.get("/v1/models", bearer(third.path("key").asText())).status()).isEqualTo(200);
    }

    private String named(String tenant) {
        server.tenant(tenant, "");
        return tenant;
    }

    @Test
    void revokedKeysAndTenantsThatAreOffAreRefused() {
        String key = server.tenant("acme", "");
        String id = key.substring(3, 15);
        assertThat(server.admin("PATCH", "tenants/acme", "{\"enabled\": false}").status()).isEqualTo(200);
        assertThat(server.http.get("/v1/models", bearer(key)).status()).isEqualTo(403);
        server.admin("PATCH", "tenants/acme", "{\"enabled\": true}");
        assertThat(server.http.get("/v1/models", bearer(key)).status()).isEqualTo(200);
        assertThat(server.admin("DELETE", "keys/" + id, "").json().path("state").asText()).isEqualTo("revoked");
        assertThat(server.http.get("/v1/models", bearer(key)).status()).isEqualTo(401);
        String second = server.key("acme", "{}").path("key").asText();
        assertThat(server.admin("DELETE", "tenants/acme", "").json().path("deleted").asBoolean()).isTrue();
        assertThat(server.http.get("/v1/models", bearer(second)).status()).isEqualTo(401);
        assertThat(server.admin("DELETE", "tenants/acme", "").status()).isEqualTo(404);
    }

    @Test
    void tellsWhatIsWrongWithATenant() {
        for (String[] wrong : new String[][] {
            {"{\"name\": \"A b\"}", "name"}, {"{\"name\": \"other\"}", "name"}, {"{}", "name"}, {"{\"name\": \"a\", \"limit\": {}}", "limit"},
            {"{\"name\": \"a\", \"limits\": {\"rpm\": 1}}", "limits.rpm"}, {"{\"name\": \"a\", \"limits\": {\"requests_per_minute\": -1}}", "limits.requests_per_minute"},
            {"{\"name\": \"a\", \"share\": 0}", "share"}, {"{\"name\": \"a\", \"adapters\": \"x\"}", "adapters"}, {"{\"name\": \"a\", \"default_adapter\": \"../x\"}", "default_adapter"}}) {
            var refused = server.admin("POST", "tenants", wrong[0]);
            assertThat(refused.status()).as(wrong[0]).isEqualTo(400);
            assertThat(refused.error().path("param").asText()).as(refused.body()).isEqualTo(wrong[1]);
        }
        server.tenant("a", "");
        assertThat(server.admin("POST", "tenants", "{\"name\": \"a\"}").status()).isEqualTo(409);
        assertThat(server.admin("GET", "tenants/b", "").status()).isEqualTo(404);
        assertThat(server.admin("POST", "tenants/a/keys", "{\"role\": \"king\"}").error().path("param").asText()).isEqualTo("role");
        assertThat(server.admin("POST", "tenants/a/keys", "{\"expires_in\": 0}").error().path("param").asText()).isEqualTo("expires_in");
        assertThat(server.admin("GET", "keys/none", "").status()).isEqualTo(404);
    }

    @Test
    void whatOperatorsDidIsKept() {
        server.tenant("acme", "");
        server.admin("DELETE", "keys/none", "");
        eventually("it is written", () -> {
            server.http.server.tenancy().flush();
            return server.admin("GET", "audit?limit=1", "").json().at("/data/0/status").asInt() == 404;
        });
        var log = server.admin("GET", "audit?limit=2", "").json().path("data");
        assertThat(log.at("/0/action").asText()).isEqualTo("DELETE /admin/v1/keys/none");
        assertThat(log.at("/0/status").asInt()).isEqualTo(404);
        assertThat(log.at("/0/key").asText()).isEqualTo(server.operator.substring(3, 15));
        assertThat(log.at("/1/action").asText()).isEqualTo("POST /admin/v1/tenants/acme/keys");
        var before = server.admin("GET", "audit?before=" + log.at("/1/number").asText(), "").json().path("data");
        assertThat(before.at("/0/action").asText()).isEqualTo("POST /admin/v1/tenants");
    }

    @Test
    void withoutAStoreAnyoneIsLetIn() {
        try (var open = new dev.polyphon.server.TestServer()) {
            assertThat(open.get("/metrics").status()).isEqualTo(200);
            assertThat(open.get("/admin/v1/adapters").status()).isEqualTo(200);
            assertThat(open.get("/admin/v1/tenants").status()).isEqualTo(404);
            assertThat(open.post(TenantServer.COMPLETIONS, "{\"model\": \"" + FakeRuntime.BASE + "\", \"prompt\": \"x\"}").status()).isEqualTo(200);
            assertThat(open.runtime.requests.getFirst().tenant()).isEqualTo("default");
        }
    }
}
