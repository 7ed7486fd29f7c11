package dev.polyphon.server.tenant;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import dev.polyphon.server.TestServer;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.http.HttpRequest;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** A {@link TestServer} with tenants, and an operator's key for it. */
final class TenantServer implements AutoCloseable {
    static final String COMPLETIONS = "/v1/completions";

    final TestServer http;
    final Tenants tenants;
    final String operator;

    TenantServer(Path store, String... settings) {
        List<String> all = new ArrayList<>(List.of(settings));
        all.add("tenants.store=" + store);
        http = new TestServer(all.toArray(String[]::new));
        tenants = http.server.tenancy().tenants().orElseThrow();
        try {
            if (tenants.find("ops").isEmpty()) {
                tenants.create("ops", JsonNodeFactory.instance.objectNode());
            }
            operator = tenants.createKey("ops", Role.OPERATOR, "test", null).text();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    static String[] bearer(String key) {
        return new String[] {"Authorization", "Bearer " + key};
    }

    TestServer.Answer admin(String method, String path, String body) {
        return http.send(http.request("/admin/v1/" + path, bearer(operator)).method(method, HttpRequest.BodyPublishers.ofString(body)));
    }

    /** Makes a tenant with a key, which is given. */
    String tenant(String name, String fields) {
        var made = admin("POST", "tenants", "{\"name\": \"" + name + "\"" + (fields.isEmpty() ? "" : ", " + fields) + "}");
        if (made.status() != 200) {
            throw new IllegalStateException(made.body());
        }
        return key(name, "{}").path("key").asText();
    }

    JsonNode key(String tenant, String fields) {
        return admin("POST", "tenants/" + tenant + "/keys", fields).json();
    }

    TestServer.Answer complete(String key, String model, String prompt, int maxTokens) {
        return http.post(COMPLETIONS, "{\"model\": \"" + model + "\", \"prompt\": \"" + prompt + "\", \"max_tokens\": " + maxTokens + "}", bearer(key));
    }

    @Override
    public void close() {
        http.close();
    }
}
