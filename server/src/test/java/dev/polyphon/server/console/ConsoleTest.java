package dev.polyphon.server.console;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polyphon.server.TestServer;
import java.util.regex.Pattern;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class ConsoleTest {
    private TestServer server;

    @BeforeEach
    void start() {
        server = new TestServer();
    }

    @AfterEach
    void stop() {
        server.close();
    }

    @Test
    void servesAllThatThePageNamesAndNothingFromElsewhere() {
        var page = server.get("/console");
        assertThat(page.status()).isEqualTo(200);
        assertThat(page.header("Content-Type")).isEqualTo("text/html; charset=utf-8");
        assertThat(page.header("Content-Security-Policy")).contains("default-src 'none'").contains("script-src 'self'").doesNotContain("unsafe");
        assertThat(page.body()).doesNotContain("style=").doesNotContain("onclick");
        var named = Pattern.compile("(?:href|src)=\"([^#\"]+)\"|from \"([^\"]+)\"");
        for (String file : new String[] {"/console", "/console/console.js", "/console/playground.js"}) {
            var names = named.matcher(server.get(file).body());
            while (names.find()) {
                String name = names.group(1) == null ? names.group(2) : names.group(1);
                assertThat(name).startsWith("/console/");
                assertThat(server.get(name).status()).as(name).isEqualTo(200);
                assertThat(server.get(name).header("X-Content-Type-Options")).as(name).isEqualTo("nosniff");
            }
        }
        assertThat(server.get("/console/../Console.class").status()).isEqualTo(404);
    }

    @Test
    void listsAdapters() {
        var listed = server.get("/console/adapters").json();
        assertThat(listed.path("total").asInt()).isEqualTo(2);
        assertThat(listed.path("adapters").findValuesAsText("name")).containsExactly("french", "german");
        assertThat(listed.path("adapters").path(0).path("loaded").isBoolean()).isTrue();
    }
}
