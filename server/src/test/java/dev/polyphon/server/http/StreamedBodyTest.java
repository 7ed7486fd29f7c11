package dev.polyphon.server.http;

import static dev.polyphon.server.Eventually.eventually;
import static org.assertj.core.api.Assertions.assertThat;

import dev.polyphon.server.LeakCheck;
import dev.polyphon.server.RawClient;
import java.io.IOException;
import java.time.Duration;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** Bodies that are taken as they come, and routes with names in them. */
@ExtendWith(LeakCheck.class)
class StreamedBodyTest {
    private static final int MAX_BODY = 10_000;
    private static final int SIZE = 3 << 20;

    private final CountDownLatch mayRead = new CountDownLatch(1);
    private final AtomicLong read = new AtomicLong();
    private final AtomicReference<String> failure = new AtomicReference<>();
    private HttpServer server;

    @BeforeEach
    void start() throws IOException {
        var patience = Duration.ofSeconds(60);
        var settings = new HttpSettings("127.0.0.1", 0, 1, 64, 100, 32, 512, 2048, MAX_BODY, 0, patience, Duration.ofMillis(300), patience, patience, patience, 64 << 10, 16 << 10, null);
        ErrorFormat errors = Response::text;
        Filter filter = (exchange, next) -> {
            if ("no".equals(exchange.request().header("X-Key"))) {
                exchange.header("X-Why", "filtered");
                exchange.respond(Response.text(401, "no"));
            } else {
                exchange.offload(() -> exchange.execute(next));
            }
        };
        var router = new Router(errors, filter)
                .stream("POST", "/upload/{name}", exchange -> exchange.offload(() -> receive(exchange)))
                .stream("POST", "/early", exchange -> exchange.respond(Response.text(400, "enough")))
                .get("/things/{thing}", exchange -> exchange.respond(Response.text(200, "one " + exchange.parameter("thing"))))
                .get("/things/{thing}/parts/{part}", exchange ->
                        exchange.respond(Response.text(200, exchange.parameter("thing") + " has " + exchange.parameter("part"))))
                .get("/things/all", exchange -> exchange.respond(Response.text(200, "all")))
                .post("/plain", exchange -> exchange.respond(Response.text(200, "" + exchange.request().body().length)));
        server = HttpServer.start(settings, router, errors, HttpObserver.NONE);
    }

    private void receive(Exchange exchange) {
        try {
            mayRead.await();
            byte[] piece = new byte[5000];
            for (int n = exchange.body().read(piece); n >= 0; n = exchange.body().read(piece)) {
                read.addAndGet(n);
            }
            exchange.respond(Response.text(200, exchange.parameter("name") + " " + read.get()));
        } catch (IOException e) {
            failure.set(e.getMessage());
            exchange.respond(Response.text(408, e.getMessage()));
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    @AfterEach
    void stop() {
        server.close();
    }

    private RawClient upload(String path, int announced, int sent, String... headers) throws IOException {
        var client = new RawClient(server.address().getPort());
        client.send("POST " + path + " HTTP/1.1\r\nHost: t\r\n" + String.join("", headers) + "Content-Length: " + announced + "\r\n\r\n");
        Thread.ofVirtual().start(() -> {
            try {
                client.send(new byte[sent]);
            } catch (IOException e) {
                // The test closed the connection before all was sent.
            }
        });
        return client;
    }

    @Test
    void takesMoreThanMemoryMayHold() throws Exception {
        try (var client = upload("/upload/big%2Fname+x", SIZE, SIZE)) {
            mayRead.countDown();
            assertThat(client.answer().body()).isEqualTo("big/name+x " + SIZE);
            assertThat(client.post("/plain", "next").answer().body()).as("the connection goes on").isEqualTo("4");
        }
    }

    @Test
    void holdsLittleWhileNobodyReads() throws Exception {
        try (var client = upload("/upload/slow", SIZE, SIZE)) {
            // Longer than the time allowed between pieces: it is the reader who is slow, not the client.
            Thread.sleep(600);
            mayRead.countDown();
            assertThat(client.answer().body()).isEqualTo("slow " + SIZE);
        }
    }

    @Test
    void failsWhenNothingMoreComes() throws Exception {
        mayRead.countDown();
        try (var client = upload("/upload/cut", SIZE, 1000)) {
            var answer = client.answer();
            assertThat(answer.status()).isEqualTo(408);
            assertThat(answer.headers()).containsEntry("connection", "close");
            assertThat(read.get()).isEqualTo(1000);
        }
    }

    @Test
    void failsWhenTheClientLeaves() throws Exception {
        mayRead.countDown();
        upload("/upload/gone", SIZE, 1000).close();
        eventually("the reader hears of it", () -> failure.get() != null);
    }

    @Test
    void failsOnABrokenChunk() throws Exception {
        mayRead.countDown();
        try (var client = new RawClient(server.address().getPort())) {
            client.send("POST /upload/x HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nnonsense\r\n");
            assertThat(client.answer().status()).isEqualTo(408);
            assertThat(failure.get()).contains("not valid HTTP");
        }
    }

    @Test
    void answersBeforeTheBodyHasCome() throws Exception {
        try (var client = upload("/early", SIZE, 100_000)) {
            var answer = client.answer();
            assertThat(answer.status()).isEqualTo(400);
            assertThat(answer.headers()).containsEntry("connection", "close");
            assertThat(client.closed()).isTrue();
        }
        try (var client = upload("/upload/x", SIZE, 0, "X-Key: no\r\n")) {
            var answer = client.answer();
            assertThat(answer.status()).isEqualTo(401);
            assertThat(answer.headers()).containsEntry("x-why", "filtered");
        }
    }

    @Test
    void boundsOtherBodies() throws Exception {
        try (var client = upload("/plain", MAX_BODY + 1, 0)) {
            assertThat(client.answer().status()).isEqualTo(413);
        }
    }

    @Test
    void findsNamesInPaths() throws Exception {
        try (var client = new RawClient(server.address().getPort())) {
            assertThat(client.get("/things/all").answer().body()).isEqualTo("all");
            assertThat(client.get("/things/a%2Fb").answer().body()).isEqualTo("one a/b");
            assertThat(client.get("/things/a%20b/parts/%C3%A9").answer().body()).isEqualTo("a b has é");
            assertThat(client.get("/things/").answer().status()).isEqualTo(404);
            assertThat(client.get("/things/a/parts").answer().status()).isEqualTo(404);
            var wrongMethod = client.post("/things/a", "").answer();
            assertThat(wrongMethod.status()).isEqualTo(405);
            assertThat(wrongMethod.headers()).containsEntry("allow", "GET, HEAD");
        }
    }
}
