package dev.polyphon.server.http;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polyphon.server.RawClient;
import java.io.IOException;
import java.time.Duration;
import java.util.Set;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** What a browser asks before it lets a page's script have an answer. */
class CorsTest {
    private static final Duration LONG = Duration.ofSeconds(60);
    private static final String PAGE = "https://chat.example.com";

    private HttpServer server;

    private RawClient start(String... origins) throws IOException {
        var settings = new HttpSettings("127.0.0.1", 0, 1, 64, 100, 32, 512, 2048, 10_000, 0, LONG, LONG, LONG, LONG, LONG, 64 << 10, 16 << 10, null);
        ErrorFormat errors = (status, message) -> Response.text(status, message);
        // No route takes OPTIONS, and nobody is let in without a key.
        var router = new Router(errors, (exchange, next) -> {
            if (exchange.request().header("Authorization") == null) {
                exchange.respond(Response.text(401, "no key"));
            } else {
                next.run();
            }
        }).post("/echo", exchange -> exchange.respond(Response.text(200, "hello").with("Vary", "Accept")));
        server = HttpServer.start(settings, Cors.before(router, new CorsSettings(Set.of(origins), Duration.ofMinutes(5))), errors, HttpObserver.NONE);
        return new RawClient(server.address().getPort());
    }

    @AfterEach
    void stop() {
        server.close();
    }

    private static String preflight(String origin) {
        return "OPTIONS /echo HTTP/1.1\r\nHost: a\r\nOrigin: " + origin
                + "\r\nAccess-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization,x-adapter\r\n\r\n";
    }

    @Test
    void aPreflightNeedsNoKey() throws IOException {
        try (var client = start(PAGE)) {
            var answer = client.send(preflight(PAGE)).answer();
            assertThat(answer.status()).isEqualTo(200);
            assertThat(answer.headers()).containsEntry("access-control-allow-origin", PAGE).containsEntry("access-control-allow-methods", "POST")
                    .containsEntry("access-control-allow-headers", "authorization,x-adapter").containsEntry("access-control-max-age", "300");
        }
    }

    @Test
    void otherPagesAreToldNothing() throws IOException {
        try (var client = start(PAGE)) {
            for (String other : new String[] {"https://chat.example.com.evil.org", "http://chat.example.com", "null"}) {
                assertThat(client.send(preflight(other)).answer().headers().keySet()).noneMatch(name -> name.startsWith("access-control"));
                assertThat(client.post("/echo", "x", "Authorization: k", "Origin: " + other).answer().headers().keySet())
                        .noneMatch(name -> name.startsWith("access-control"));
            }
        }
    }

    /** Errors too: a script could not tell why it failed otherwise. */
    @Test
    void answersSayWhoMayReadThem() throws IOException {
        try (var client = start(PAGE)) {
            for (String key : new String[] {"Authorization: k", "X-Other: none"}) {
                var answer = client.post("/echo", "x", key, "Origin: " + PAGE).answer();
                assertThat(answer.status()).isEqualTo(key.startsWith("A") ? 200 : 401);
                assertThat(answer.headers()).containsEntry("access-control-allow-origin", PAGE);
                assertThat(answer.headers().get("access-control-expose-headers")).contains("X-Request-Id").contains("Retry-After");
                assertThat(answer.headers().get("vary")).contains("Origin");
            }
        }
    }

    @Test
    void theStarIsEveryPage() throws IOException {
        try (var client = start("*")) {
            assertThat(client.send(preflight("http://localhost:3000")).answer().headers()).containsEntry("access-control-allow-origin", "http://localhost:3000");
        }
    }

    @Test
    void withoutOriginsNothingIsAdded() throws IOException {
        try (var client = start()) {
            assertThat(client.send(preflight(PAGE)).answer().status()).isEqualTo(405);
            assertThat(client.post("/echo", "x", "Authorization: k", "Origin: " + PAGE).answer().headers().keySet()).noneMatch(name -> name.startsWith("access-control"));
        }
    }
}
