package dev.polyphon.server.http;

import static dev.polyphon.server.Eventually.eventually;
import static org.assertj.core.api.Assertions.assertThat;

import dev.polyphon.server.LeakCheck;
import dev.polyphon.server.RawClient;
import io.netty.buffer.ByteBufUtil;
import io.netty.buffer.Unpooled;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

@ExtendWith(LeakCheck.class)
class ConnectionTest {
    private static final Duration LONG = Duration.ofSeconds(30);

    private final BlockingQueue<Exchange> parked = new LinkedBlockingQueue<>();
    private final AtomicInteger slowReaders = new AtomicInteger();
    private final AtomicInteger slowSenders = new AtomicInteger();
    private HttpServer server;

    @BeforeEach
    void start() throws IOException {
        start(LONG, LONG, LONG, LONG, 100);
    }

    private void start(Duration header, Duration body, Duration idle, Duration write, int connections) throws IOException {
        if (server != null) {
            server.close();
        }
        var settings = new HttpSettings("127.0.0.1", 0, 1, 64, connections, 32, 512, 2048, 10_000, 1000, header, body, body, idle, write, 64 << 10, 16 << 10, null);
        ErrorFormat errors = (status, message) -> Response.text(status, message);
        var router = new Router(errors)
                .post("/echo", exchange -> exchange.respond(Response.text(200, new String(exchange.request().body(), StandardCharsets.UTF_8))))
                .get("/parked", parked::add)
                .get("/path/*", exchange -> exchange.respond(Response.text(200, exchange.request().path() + exchange.request().query())))
                .get("/broken", _ -> {
                    throw new IllegalStateException("on purpose");
                })
                .get("/broken-apart", exchange -> exchange.offload(() -> {
                    throw new IllegalStateException("on purpose");
                }))
                .get("/stream", exchange -> {
                    exchange.begin(200, "text/plain", Map.of());
                    exchange.write(Unpooled.copiedBuffer("one ", StandardCharsets.UTF_8));
                    exchange.write(Unpooled.copiedBuffer("two", StandardCharsets.UTF_8));
                    exchange.end();
                });
        server = HttpServer.start(settings, router, errors, new HttpObserver() {
            @Override
            public void slowReader() {
                slowReaders.incrementAndGet();
            }

            @Override
            public void slowSender() {
                slowSenders.incrementAndGet();
            }
        });
    }

    @AfterEach
    void stop() {
        server.close();
    }

    private RawClient connect() throws IOException {
        return new RawClient(server.address().getPort());
    }

    private Exchange nextParked() throws InterruptedException {
        return parked.poll(20, TimeUnit.SECONDS);
    }

    @Test
    void keepsTheConnection() throws IOException {
        try (var client = connect()) {
            for (int i = 0; i < 3; i++) {
                var answer = client.post("/echo", "body " + i).answer();
                assertThat(answer.status()).isEqualTo(200);
                assertThat(answer.body()).isEqualTo("body " + i);
                assertThat(answer.headers()).containsKey("date").doesNotContainKey("connection");
            }
        }
    }

    @Test
    void closesWhenAsked() throws IOException {
        try (var client = connect()) {
            var answer = client.post("/echo", "x", "Connection: close").answer();
            assertThat(answer.headers()).containsEntry("connection", "close");
            assertThat(client.closed()).isTrue();
        }
    }

    @Test
    void answersPipelinedRequestsInOrder() throws Exception {
        try (var client = connect()) {
            client.get("/parked").post("/echo", "second").get("/stream").post("/echo", "fourth");
            Exchange first = nextParked();
            Thread.sleep(50);
            first.respond(Response.text(200, "first"));
            assertThat(client.answer().body()).isEqualTo("first");
            assertThat(client.answer().body()).isEqualTo("second");
            assertThat(client.answer().body()).isEqualTo("one two");
            assertThat(client.answer().body()).isEqualTo("fourth");
        }
    }

    @Test
    void handlesOnePipelinedRequestAtATime() throws Exception {
        try (var client = connect()) {
            client.get("/parked").get("/parked");
            Exchange first = nextParked();
            assertThat(parked.poll(100, TimeUnit.MILLISECONDS)).isNull();
            first.respond(Response.text(200, "1"));
            nextParked().respond(Response.text(200, "2"));
            assertThat(client.answer().body()).isEqualTo("1");
            assertThat(client.answer().body()).isEqualTo("2");
        }
    }

    @Test
    void takesNoEndOfPipelinedRequests() throws Exception {
        try (var client = connect()) {
            client.get("/parked");
            Exchange first = nextParked();
            var sender = Thread.ofVirtual().start(() -> {
                try {
                    for (int i = 0; i < 3000; i++) {
                        client.post("/echo", "x".repeat(1000));
                    }
                } catch (IOException e) {
                    throw new java.io.UncheckedIOException(e);
                }
            });
            Thread.sleep(100);
            first.respond(Response.text(200, "first"));
            assertThat(client.answer().body()).isEqualTo("first");
            for (int i = 0; i < 3000; i++) {
                assertThat(client.answer().body()).hasSize(1000);
            }
            sender.join();
        }
    }

    @Test
    void takesARequestByteByByte() throws IOException {
        try (var client = connect()) {
            for (byte b : "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n".getBytes(StandardCharsets.US_ASCII)) {
                client.send(new byte[] {b});
            }
            assertThat(client.answer().body()).isEqualTo("abcde");
        }
    }

    @Test
    void continuesOn100() throws IOException {
        try (var client = connect()) {
            client.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
            assertThat(client.line()).isEqualTo("HTTP/1.1 100 Continue");
            assertThat(client.headers()).isEmpty();
            assertThat(client.send("hello").answer().body()).isEqualTo("hello");
            assertThat(client.post("/echo", "next").answer().body()).isEqualTo("next");
        }
    }

    @Test
    void refusesAnAnnouncedBodyBeforeItComes() throws IOException {
        try (var client = connect()) {
            client.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10001\r\nExpect: 100-continue\r\n\r\n");
            var answer = client.answer();
            assertThat(answer.status()).isEqualTo(413);
            assertThat(answer.body()).contains("10000").contains("10001");
            assertThat(client.closed()).isTrue();
        }
    }

    @Test
    void refusesABodyThatGrowsTooLarge() throws IOException {
        try (var client = connect()) {
            client.send("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
            for (int i = 0; i < 3; i++) {
                client.send("1000\r\n" + "x".repeat(0x1000) + "\r\n");
            }
            assertThat(client.answer().status()).isEqualTo(413);
            assertThat(client.closed()).isTrue();
        }
    }

    @Test
    void takesABodyOfExactlyTheLimit() throws IOException {
        try (var client = connect()) {
            assertThat(client.post("/echo", "x".repeat(10_000)).answer().body()).hasSize(10_000);
        }
    }

    @Test
    void limitsLineAndHeader() throws IOException {
        try (var client = connect()) {
            var answer = client.get("/" + "a".repeat(600)).answer();
            assertThat(answer.status()).isEqualTo(414);
            assertThat(answer.body()).contains("512");
        }
        try (var client = connect()) {
            var answer = client.send("GET /path/x HTTP/1.1\r\nHost: x\r\nX: " + "a".repeat(3000) + "\r\n\r\n").answer();
            assertThat(answer.status()).isEqualTo(431);
            assertThat(answer.body()).contains("2048");
        }
    }

    @Test
    void refusesWhatIsNotHttp() throws IOException {
        for (String text : new String[] {
            "garbage\r\n\r\n",
            "GET /path/x HTTP/1.1\r\n\r\n",
            "GET /path/x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            "GET /path/%zz HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /path/x HTTP/1.1\r\nHost: a\r\nbad header\r\n\r\n",
            "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
            "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
        }) {
            try (var client = connect()) {
                assertThat(client.send(text).answer().status()).as(text).isEqualTo(400);
                assertThat(client.closed()).isTrue();
            }
        }
        try (var client = connect()) {
            assertThat(client.send("GET /path/x HTTP/2.0\r\nHost: a\r\n\r\n").answer().status()).isEqualTo(505);
        }
        try (var client = connect()) {
            assertThat(client.send("GET /path/x HTTP/1.1\r\nHost: a\r\nExpect: miracles\r\n\r\n").answer().status()).isEqualTo(417);
        }
        try (var client = connect()) {
            assertThat(client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Encoding: br\r\n\r\n").answer().status()).isEqualTo(415);
        }
    }

    @Test
    void routes() throws IOException {
        try (var client = connect()) {
            assertThat(client.get("/path/a%20b/c?q=%C3%A9").answer().body()).isEqualTo("/path/a b/c{q=[é]}");
            assertThat(client.get("http://elsewhere:80/path/x").answer().body()).isEqualTo("/path/x{}");
            assertThat(client.get("/path/").answer().status()).isEqualTo(404);
            assertThat(client.get("/nowhere").answer().status()).isEqualTo(404);
            var wrong = client.get("/echo").answer();
            assertThat(wrong.status()).isEqualTo(405);
            assertThat(wrong.headers()).containsEntry("allow", "POST");
            var deleted = client.send("DELETE /stream HTTP/1.1\r\nHost: a\r\n\r\n").answer();
            assertThat(deleted.headers()).containsEntry("allow", "GET, HEAD");
        }
    }

    @Test
    void leavesOutTheBodyForHead() throws IOException {
        try (var client = connect()) {
            client.send("HEAD /path/x HTTP/1.1\r\nHost: a\r\n\r\n");
            assertThat(client.line()).isEqualTo("HTTP/1.1 200 OK");
            assertThat(client.headers()).containsEntry("content-length", Integer.toString("/path/x{}".length()));
            assertThat(client.post("/echo", "next").answer().body()).isEqualTo("next");
        }
    }

    @Test
    void streamsToHttp10WithoutChunks() throws IOException {
        try (var client = connect()) {
            var answer = client.send("GET /stream HTTP/1.0\r\n\r\n").answer();
            assertThat(answer.headers()).doesNotContainKey("transfer-encoding").containsEntry("connection", "close");
            assertThat(answer.body()).isEqualTo("one two");
        }
    }

    @Test
    void answers500ForAHandlerThatFails() throws IOException {
        try (var client = connect()) {
            assertThat(client.get("/broken").answer().status()).isEqualTo(500);
            assertThat(client.get("/broken-apart").answer().status()).isEqualTo(500);
            assertThat(client.post("/echo", "still there").answer().body()).isEqualTo("still there");
        }
    }

    @Test
    void abortsWhenTheClientLeaves() throws Exception {
        var aborted = new AtomicBoolean();
        Exchange exchange;
        try (var client = connect()) {
            client.get("/parked");
            exchange = nextParked();
            exchange.execute(() -> exchange.onAbort(() -> aborted.set(true)));
        }
        eventually("aborted", aborted::get);
        // A client that is gone is nobody's error.
        exchange.respond(Response.text(200, "too late"));
    }

    @Test
    void disconnectsAReaderThatTakesNothing() throws Exception {
        start(LONG, LONG, LONG, Duration.ofMillis(200), 100);
        var aborted = new AtomicBoolean();
        try (var client = new RawClient(server.address().getPort(), 4096)) {
            client.get("/parked");
            Exchange exchange = nextParked();
            exchange.execute(() -> {
                exchange.onAbort(() -> aborted.set(true));
                exchange.begin(200, "text/plain", Map.of());
                // More than the system's buffers for a connection hold.
                exchange.write(Unpooled.wrappedBuffer(new byte[16 << 20]));
                assertThat(exchange.writable()).isFalse();
            });
            eventually("aborted", aborted::get);
            assertThat(slowReaders).hasValue(1);
        }
    }

    @Test
    void tellsWhenASlowReaderHasCaughtUp() throws Exception {
        try (var client = new RawClient(server.address().getPort(), 4096)) {
            client.get("/parked");
            Exchange exchange = nextParked();
            exchange.execute(() -> {
                exchange.onWritable(() -> {
                    exchange.write(Unpooled.copiedBuffer("end", StandardCharsets.UTF_8));
                    exchange.end();
                });
                exchange.begin(200, "text/plain", Map.of());
                exchange.write(Unpooled.wrappedBuffer(new byte[16 << 20]));
            });
            assertThat(client.answer().body()).hasSize((16 << 20) + 3).endsWith("end");
        }
    }

    @Test
    void timesOutSlowSenders() throws IOException {
        start(Duration.ofMillis(150), Duration.ofMillis(150), LONG, LONG, 100);
        try (var client = connect()) {
            var answer = client.send("GET /path/x HT").answer();
            assertThat(answer.status()).isEqualTo(408);
            assertThat(answer.body()).contains("header").contains("150 ms");
            assertThat(client.closed()).isTrue();
        }
        try (var client = connect()) {
            var answer = client.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab").answer();
            assertThat(answer.status()).isEqualTo(408);
            assertThat(answer.body()).contains("body");
        }
        assertThat(slowSenders).hasValue(2);
    }

    @Test
    void closesIdleConnections() throws IOException {
        start(Duration.ofMillis(150), LONG, Duration.ofMillis(150), LONG, 100);
        try (var silent = connect(); var idle = connect()) {
            assertThat(idle.post("/echo", "x").answer().status()).isEqualTo(200);
            assertThat(idle.closed()).isTrue();
            assertThat(silent.closed()).isTrue();
        }
        assertThat(slowSenders).hasValue(0);
    }

    @Test
    void turnsAwayWhatIsTooMuch() throws IOException {
        start(LONG, LONG, LONG, LONG, 2);
        try (var first = connect(); var second = connect()) {
            first.post("/echo", "x").answer();
            second.post("/echo", "x").answer();
            try (var third = connect()) {
                var answer = third.answer();
                assertThat(answer.status()).isEqualTo(503);
                assertThat(answer.body()).contains("at most 2");
            }
            assertThat(first.post("/echo", "still").answer().body()).isEqualTo("still");
        }
        eventually("there is room again", () -> {
            try (var next = connect()) {
                return next.post("/echo", "x").answer().status() == 200;
            } catch (IOException e) {
                return false;
            }
        });
    }

    @Test
    void drains() throws Exception {
        try (var idle = connect(); var busy = connect()) {
            idle.post("/echo", "x").answer();
            busy.get("/parked");
            Exchange exchange = nextParked();
            server.stopAccepting();
            assertThat(idle.closed()).isTrue();
            assertThat(server.awaitClosed(Duration.ofMillis(50))).isFalse();
            exchange.respond(Response.text(200, "last"));
            var answer = busy.answer();
            assertThat(answer.body()).isEqualTo("last");
            assertThat(answer.headers()).containsEntry("connection", "close");
            assertThat(server.awaitClosed(LONG)).isTrue();
        }
    }

    @Test
    void releasesWhatWasHeldWhenTheClientLeaves() throws Exception {
        Exchange exchange;
        try (var client = connect()) {
            client.get("/parked").post("/echo", "never answered").send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\nhalf");
            exchange = nextParked();
        }
        var gone = new AtomicBoolean();
        exchange.execute(() -> exchange.onAbort(() -> gone.set(true)));
        eventually("gone", gone::get);
        // Writing to what is gone releases as well: the class ends with a look for lost buffers.
        var buffer = ByteBufUtil.writeUtf8(io.netty.buffer.ByteBufAllocator.DEFAULT, "late");
        var released = new AtomicBoolean();
        exchange.execute(() -> {
            exchange.write(buffer);
            released.set(buffer.refCnt() == 0);
        });
        eventually("released", released::get);
    }
}
