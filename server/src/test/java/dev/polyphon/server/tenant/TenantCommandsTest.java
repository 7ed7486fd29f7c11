package dev.polyphon.server.tenant;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polyphon.server.CommandLines;
import dev.polyphon.server.TestServer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The commands for operators, as they are typed. */
class TenantCommandsTest {
    @TempDir
    private Path store;

    private static String said(int status, String... arguments) {
        var said = CommandLines.run(arguments);
        assertThat(said.status()).as(said.out() + said.err()).isEqualTo(status);
        return said.out();
    }

    private static String[] with(String url, String key, String... arguments) {
        var all = new ArrayList<>(List.of(arguments));
        all.addAll(List.of("--url", url, "--key", key));
        return all.toArray(String[]::new);
    }

    @Test
    void fromAnEmptyStoreToABill() {
        String operator = said(0, "key", "operator", "--store", store.toString()).strip();
        try (var server = new TestServer("tenants.store=" + store)) {
            String url = server.uri("").toString();
            said(0, with(url, operator, "tenant", "create", "acme", "--rpm", "5", "--tpm", "none", "--share", "2", "--adapter", "fr*", "--adapter", "x"));
            String key = said(0, with(url, operator, "key", "create", "acme", "--label", "ci", "--expires-in", "90d")).strip();
            assertThat(key).startsWith("pk_");
            assertThat(said(0, with(url, key, "complete", "--model", "french", "hello"))).contains("french:hello");
            assertThat(said(0, with(url, operator, "tenant", "list"))).containsPattern("acme +true +2.0 +5 +- +- +2 +- +0");
            assertThat(said(0, with(url, operator, "tenant", "change", "acme", "--rpm", "none", "--default-adapter", "french"))).contains("\"requests_per_minute\" : null");
            assertThat(said(0, with(url, operator, "tenant", "show", "acme"))).contains("\"default_adapter\" : \"french\"").contains("\"fr*\"");
            assertThat(said(0, with(url, operator, "usage"))).containsPattern("acme +org/base-135m +french +1 +1 +0 +1");
            assertThat(said(0, with(url, key, "usage", "--own", "--json", "--period", "total"))).contains("\"generated_tokens\":1");
            String id = key.substring(3, 15);
            String next = said(0, with(url, operator, "key", "rotate", id, "--overlap", "0s")).strip();
            assertThat(next).startsWith("pk_").isNotEqualTo(key);
            assertThat(said(0, with(url, operator, "key", "list", "acme"))).containsPattern(id + " +tenant +expired").contains("ci");
            said(0, with(url, operator, "key", "revoke", next.substring(3, 15)));
            said(1, with(url, next, "complete", "--model", "french", "hello"));
            said(0, with(url, operator, "tenant", "delete", "acme"));
            server.server.tenancy().flush();
            assertThat(said(0, with(url, operator, "audit"))).contains("POST /admin/v1/tenants/acme/keys");
            said(1, "key", "operator", "--store", store.toString());
        }
    }
}
