package dev.polyphon.server.admin;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polyphon.server.TestServer;
import java.io.IOException;
import java.net.http.HttpRequest;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class AdaptersAdminTest {
    private static final String ALL = "/admin/v1/adapters";

    @TempDir
    private Path folder;

    private TestServer server;
    private Path root;

    @BeforeEach
    void start() throws IOException {
        root = Files.createDirectories(folder.resolve("root")).toRealPath();
        server = new TestServer("adapters.roots=[\"" + root + "\"]");
    }

    @AfterEach
    void stop() {
        server.close();
    }

    private Path adapter(Path path) throws IOException {
        Files.createDirectories(path);
        Files.writeString(path.resolve("adapter_config.json"), "{}");
        return path;
    }

    private TestServer.Answer register(String name, Path source) {
        return server.post(ALL, "{\"owner\": \"acme\", \"name\": \"" + name + "\", \"source\": \"" + source + "\", \"labels\": {\"team\": \"x\"}}");
    }

    @Test
    void listsPageByPage() {
        var first = server.get(ALL + "?limit=1").json();
        assertThat(first.at("/data/0/name").asText()).isEqualTo("french");
        assertThat(first.at("/data/0/tier").asText()).isEqualTo("disk");
        var second = server.get(ALL + "?limit=1&after=" + first.path("next").asText()).json();
        assertThat(second.at("/data/0/name").asText()).isEqualTo("german");
        assertThat(second.path("next").isNull()).isTrue();
        for (String bad : new String[] {"limit=0", "limit=x", "limit=1&limit=2", "tier=attic", "label=x", "failed=maybe", "colour=red"}) {
            var refused = server.get(ALL + "?" + bad);
            assertThat(refused.status()).as(bad).isEqualTo(400);
            assertThat(refused.error().path("param").asText()).isEqualTo(bad.substring(0, bad.indexOf('=')));
        }
    }

    @Test
    void registersChangesAndRemoves() throws Exception {
        var registered = register("org/own", adapter(root.resolve("own")));
        assertThat(registered.status()).as(registered.body()).isEqualTo(200);
        assertThat(registered.json().at("/labels/team").asText()).isEqualTo("x");
        String path = ALL + "/org%2Fown?owner=acme";
        assertThat(server.get(path).json().path("owner").asText()).isEqualTo("acme");
        assertThat(server.get(ALL + "/org%2Fown").status()).as("not shared").isEqualTo(404);
        assertThat(send("PATCH", path, "{\"pinned\": true}").json().path("pinned").asBoolean()).isTrue();
        assertThat(send("PATCH", path, "{\"pinned\": 1}").status()).isEqualTo(400);
        assertThat(send("PATCH", path, "{\"pin\": true}").error().path("param").asText()).isEqualTo("pin");
        assertThat(send("PATCH", path, "{\"version\": \"01234567\"}").status()).as("not by this runtime").isEqualTo(501);
        assertThat(send("DELETE", path, "").json().path("deleted").asBoolean()).isTrue();
        assertThat(send("DELETE", path, "").status()).isEqualTo(404);
    }

    private TestServer.Answer send(String method, String path, String body) throws Exception {
        return server.send(HttpRequest.newBuilder(server.uri(path)).method(method, HttpRequest.BodyPublishers.ofString(body)));
    }

    @Test
    void hostileNamesAndPathsLeadNowhere() throws IOException {
        Path outside = adapter(folder.resolve("outside"));
        Path inside = adapter(root.resolve("inside"));
        assertThat(register("a", root.resolve("../outside")).status()).isEqualTo(403);
        assertThat(register("a", outside).status()).isEqualTo(403);
        assertThat(register("a", root.resolve("none")).status()).as("as if it were outside").isEqualTo(403);
        assertThat(register("a", Files.createSymbolicLink(root.resolve("link"), outside)).status()).isEqualTo(403);
        for (String name : new String[] {"../x", "a/../b", "/a", "a/", ".a", "", "a b", "fr\u0435nch", "a\\u0000", "a".repeat(201), "a@1234"}) {
            var refused = register(name, inside);
            assertThat(refused.status()).as(name).isEqualTo(400);
            assertThat(refused.error().path("param").asText()).isEqualTo("name");
        }
        assertThat(server.get(ALL + "/..%2F..%2Fetc").status()).isEqualTo(400);
    }

    @Test
    void receivesArchivesAndNothingElse() throws Exception {
        assertThat(upload("sent", "application/zip", "zipped").json().path("source").asText()).isEqualTo("upload:");
        assertThat(upload("packed", "application/gzip", "tarred").status()).isEqualTo(200);
        assertThat(server.get(ALL + "/sent").status()).isEqualTo(200);
        assertThat(upload("bad", "application/zip", "bad").status()).isEqualTo(400);
        assertThat(upload("bad", "text/plain", "x").status()).isEqualTo(415);
        assertThat(upload("bad", "multipart/form-data", "x").error().path("message").asText()).contains("boundary");
        String form = "--b\r\nContent-Disposition: form-data; name=\"a\"; filename=\"%s\"\r\n\r\n%s\r\n--b--\r\n";
        assertThat(upload("form", "multipart/form-data; boundary=b", form.formatted("x.tar.gz", "tarred")).status()).isEqualTo(200);
        assertThat(upload("bad", "multipart/form-data; boundary=b", form.formatted("x.zip", "bad")).status()).isEqualTo(400);
        assertThat(upload("bad", "multipart/form-data; boundary=b", "--b\r\n").error().path("message").asText()).contains("no whole multipart body");
        assertThat(server.get(ALL + "/bad").status()).isEqualTo(404);
    }

    private TestServer.Answer upload(String name, String type, String body) {
        return server.send(HttpRequest.newBuilder(server.uri(ALL + "/" + name + "/files")).header("Content-Type", type)
                .PUT(HttpRequest.BodyPublishers.ofString(body)));
    }

    @Test
    void changesNothingWhereThatIsOff() {
        try (TestServer fixed = new TestServer("adapters.loading=false")) {
            assertThat(fixed.post(ALL, "{}").status()).isEqualTo(403);
            assertThat(fixed.get(ALL).status()).isEqualTo(200);
        }
    }
}
