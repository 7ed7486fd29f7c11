package dev.polyphon.server.cli.remote;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import dev.polyphon.runtime.AdapterOperations;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.server.CommandLines;
import dev.polyphon.server.TestServer;
import dev.polyphon.server.tenant.Role;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.CountDownLatch;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;

/** Every command that asks a server, with {@code --json}. */
class RemoteJsonTest {
    private final Set<String> ran = new TreeSet<>();
    private TestServer server;
    private String key;

    private JsonNode json(String... arguments) {
        var all = new ArrayList<>(List.of(arguments));
        all.addAll(List.of("--json", "--url", server.uri("").toString(), "--key", key));
        var said = CommandLines.run(all.toArray(String[]::new));
        assertThat(said.status()).as(all + ": " + said.err()).isZero();
        ran.addAll(leaves("", CommandLines.all()).stream().filter(name -> (String.join(" ", arguments) + " ").startsWith(name + " ")).toList());
        JsonNode json = TestServer.parse(said.out());
        assertThat(json.isContainerNode()).as(said.out()).isTrue();
        assertThat(said.out()).as("one line").hasLineCount(1);
        return json;
    }

    /** The names of all commands that ask a server. */
    private static Set<String> leaves(String prefix, CommandLine commands) {
        var names = new TreeSet<String>();
        commands.getSubcommands().forEach((name, command) -> {
            if (command.getCommand() instanceof Remote) {
                names.add(prefix + name);
            }
            names.addAll(leaves(prefix + name + " ", command));
        });
        return names;
    }

    @Test
    void printJson(@TempDir Path folder) throws IOException {
        server = new TestServer("tenants.store=" + folder.resolve("store"), "operations.folder=" + folder.resolve("made"));
        var until = new CountDownLatch(1);
        try {
            var tenants = server.server.tenancy().tenants().orElseThrow();
            var ops = JsonNodeFactory.instance.objectNode();
            ops.putObject("limits").put("adapters", 1).put("adapter_bytes", 1000);
            tenants.create("ops", ops);
            key = tenants.createKey("ops", Role.OPERATOR, "", null).text();
            assertThat(json("chat", "hello").path("text").asText()).isEqualTo("base:hello");
            assertThat(json("complete", "hello", "-m", "french").path("completionTokens").asInt()).isEqualTo(1);
            Path requests = Files.writeString(folder.resolve("in"), "{\"custom_id\":\"1\",\"method\":\"POST\",\"url\":\"/v1/completions\",\"body\":{\"model\":\"french\",\"prompt\":\"a\"}}");
            assertThat(json("batch", requests.toString(), folder.resolve("out").toString()).path("answered").asInt()).isEqualTo(1);
            assertThat(json("top", "--count", "1", "--interval", "0.01").path("kvBlocks").asInt()).isEqualTo(100);
            assertThat(json("usage").path(0).path("tenant").asText()).isEqualTo("ops");
            adapters(folder, until);
            assertThat(json("tenant", "create", "acme").path("name").asText()).isEqualTo("acme");
            assertThat(json("tenant", "change", "acme", "--share", "2").path("share").asInt()).isEqualTo(2);
            assertThat(json("tenant", "change", "acme", "--enabled", "false").path("enabled").asBoolean(true)).isFalse();
            assertThat(json("tenant", "show", "acme").path("share").asInt()).isEqualTo(2);
            assertThat(json("tenant", "list")).hasSize(2);
            String id = json("key", "create", "acme").path("id").asText();
            assertThat(json("key", "rotate", id).path("key").asText()).startsWith("pk_");
            assertThat(json("key", "revoke", id).path("state").asText()).isEqualTo("revoked");
            assertThat(json("key", "list", "acme")).hasSize(2);
            assertThat(json("tenant", "delete", "acme").path("deleted").asBoolean()).isTrue();
            assertThat(json("admin", "scheduler").path("kv_blocks").asInt()).isEqualTo(100);
            assertThat(json("admin", "drain").path("draining").asBoolean()).isTrue();
            assertThat(json("admin", "status").path("draining").asBoolean()).isTrue();
            assertThat(json("admin", "undrain").path("draining").asBoolean()).isFalse();
            assertThat(json("admin", "log-level").path("loggers").isArray()).isTrue();
            server.server.tenancy().flush();
            assertThat(json("audit").path(0).path("action").asText()).startsWith("DELETE /admin/v1/drain");
            assertThat(ran).isEqualTo(leaves("", CommandLines.all()));
        } finally {
            until.countDown();
            server.close();
        }
    }

    private void adapters(Path folder, CountDownLatch until) throws IOException {
        assertThat(json("adapter", "list").path(0).path("id").asText()).isEqualTo("org/base-135m");
        Files.writeString(folder.resolve("adapter_config.json"), "{}");
        Files.writeString(folder.resolve("adapter_model.safetensors"), "x");
        assertThat(json("adapter", "upload", "mine", folder.toString()).path("name").asText()).isEqualTo("mine");
        assertThat(json("adapter", "load", "loaded", folder.toString()).path("loaded").asBoolean()).isTrue();
        assertThat(json("adapter", "unload", "loaded").path("loaded").asBoolean()).isFalse();
        assertThat(json("adapter", "register", "reg", folder.toString(), "--label", "team=a", "--owner", "ops").path("labels").path("team").asText()).isEqualTo("a");
        assertThat(json("adapter", "status", "--owner", "ops").path(0).path("name").asText()).isEqualTo("reg");
        assertThat(json("adapter", "change", "reg", "--owner", "ops", "--pinned", "true").path("pinned").asBoolean()).isTrue();
        assertThat(json("adapter", "versions", "reg", "--owner", "ops")).hasSize(1);
        assertThat(json("adapter", "delete", "reg", "--owner", "ops").path("deleted").asBoolean()).isTrue();
        assertThat(json("adapter", "status", "--deleted", "--owner", "ops").path(0).path("name").asText()).isEqualTo("reg");
        assertThat(json("adapter", "restore", "reg", "--owner", "ops").path("owner").asText()).isEqualTo("ops");
        assertThat(json("adapter", "delete", "reg", "--owner", "ops", "--purge").path("deleted").asBoolean()).isTrue();
        assertThat(json("adapter", "merge-in", "french").path("status").asText()).isEqualTo("merged");
        assertThat(json("adapter", "merges").path("data")).hasSize(1);
        assertThat(json("adapter", "unmerge", "french").path("object").asText()).isEqualTo("merge");
        server.runtime.operations = (AdapterOperations) (tenant, operation, to, progress) -> {
            try {
                until.await();
            } catch (InterruptedException e) {
                throw RuntimeFault.of(RuntimeFault.Kind.INTERNAL, "interrupted");
            }
            return Map.of();
        };
        String id = server.post("/admin/v1/operations", "{\"operation\": \"inspect\", \"adapter\": \"french\"}", "Authorization", "Bearer " + key).json().path("id").asText();
        assertThat(json("adapter", "operations").path(0).path("id").asText()).isEqualTo(id);
        assertThat(json("adapter", "cancel", id).path("id").asText()).isEqualTo(id);
    }
}
