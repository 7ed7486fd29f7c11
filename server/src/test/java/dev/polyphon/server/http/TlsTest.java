package dev.polyphon.server.http;

import static dev.polyphon.server.Eventually.eventually;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.polyphon.server.GrpcClient;
import dev.polyphon.server.LeakCheck;
import dev.polyphon.server.TestServer;
import io.grpc.netty.shaded.io.grpc.netty.GrpcSslContexts;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import io.netty.buffer.Unpooled;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.net.Socket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.time.Instant;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import javax.net.ssl.SSLException;
import javax.net.ssl.SSLSocket;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;

@ExtendWith(LeakCheck.class)
class TlsTest {
    private static final Duration LONG = Duration.ofSeconds(30);
    private static final Duration PATIENCE = Duration.ofSeconds(20);
    private static TestCertificate first;
    private static TestCertificate second;

    @TempDir
    private Path folder;

    private final BlockingQueue<Exchange> parked = new LinkedBlockingQueue<>();
    private final AtomicReference<Instant> end = new AtomicReference<>();
    private final AtomicInteger refused = new AtomicInteger();
    private HttpServer server;

    @BeforeAll
    static void make(@TempDir Path folder) {
        first = TestCertificate.make(folder, "RSA");
        second = TestCertificate.make(folder, "EC");
    }

    private void start(TestCertificate clients, Duration header) throws IOException {
        Path certificate = folder.resolve("tls.crt");
        Path key = folder.resolve("tls.key");
        if (!Files.exists(certificate)) {
            first.writeTo(certificate, key);
        }
        Path authorities = null;
        if (clients != null) {
            authorities = Files.writeString(folder.resolve("ca.crt"), clients.certificatePem());
        }
        var tls = new TlsSettings(certificate, key, authorities, Duration.ofMillis(20));
        var settings = new HttpSettings("127.0.0.1", 0, 1, 64, 4, 32, 512, 2048, 10_000, 0, header, LONG, LONG, LONG, LONG, 64 << 10, 16 << 10, tls);
        ErrorFormat errors = (status, message) -> Response.text(status, message);
        var router = new Router(errors)
                .post("/echo", exchange -> exchange.respond(Response.text(200, new String(exchange.request().body(), StandardCharsets.UTF_8))))
                .get("/parked", parked::add)
                .get("/stream", exchange -> {
                    exchange.begin(200, "text/plain", Map.of());
                    for (int i = 0; i < 100; i++) {
                        exchange.write(Unpooled.copiedBuffer("x".repeat(999), StandardCharsets.UTF_8));
                    }
                    exchange.end();
                });
        server = HttpServer.start(settings, router, errors, new HttpObserver() {
            @Override
            public void certificate(Instant notAfter) {
                end.set(notAfter);
            }

            @Override
            public void certificateRefused() {
                refused.incrementAndGet();
            }
        });
    }

    @AfterEach
    void stop() {
        if (server != null) {
            server.close();
        }
    }

    private URI uri(String path) {
        return URI.create("https://127.0.0.1:" + server.address().getPort() + path);
    }

    private HttpResponse<String> send(HttpClient client, HttpRequest.Builder request) throws IOException, InterruptedException {
        return client.send(request.timeout(PATIENCE).build(), HttpResponse.BodyHandlers.ofString());
    }

    private static HttpClient client(HttpClient.Version version, TestCertificate own) {
        return HttpClient.newBuilder().version(version).sslContext(TestCertificate.trusting(own, first, second)).connectTimeout(PATIENCE).build();
    }

    @Test
    void speaksWhatTheClientCan() throws IOException, InterruptedException {
        start(null, LONG);
        for (var version : HttpClient.Version.values()) {
            if (version.name().equals("HTTP_3")) {
                continue;
            }
            try (HttpClient client = client(version, null)) {
                var echo = send(client, HttpRequest.newBuilder(uri("/echo")).POST(HttpRequest.BodyPublishers.ofString("\u00e4 b")));
                assertThat(echo.version()).isEqualTo(version);
                assertThat(echo.body()).isEqualTo("\u00e4 b");
                assertThat(echo.sslSession().orElseThrow().getProtocol()).isEqualTo("TLSv1.3");
                assertThat(send(client, HttpRequest.newBuilder(uri("/stream"))).body()).hasSize(99_900);
                var large = send(client, HttpRequest.newBuilder(uri("/echo")).POST(HttpRequest.BodyPublishers.ofString("x".repeat(10_001))));
                assertThat(large.statusCode()).isEqualTo(413);
                assertThat(large.body()).contains("10000 bytes");
            }
        }
        assertThat(end.get()).isEqualTo(first.certificate().getNotAfter().toInstant());
    }

    /** What shakes hands with the server and says no more. */
    private SSLSocket socket(TestCertificate own, String... protocols) throws IOException {
        var socket = (SSLSocket) TestCertificate.trusting(own, first, second).getSocketFactory().createSocket("127.0.0.1", server.address().getPort());
        socket.setSoTimeout((int) PATIENCE.toMillis());
        if (protocols.length > 0) {
            socket.setEnabledProtocols(protocols);
        }
        try {
            socket.startHandshake();
        } catch (IOException e) {
            socket.close();
            throw e;
        }
        return socket;
    }

    private static String ask(SSLSocket socket) throws IOException {
        socket.getOutputStream().write("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi".getBytes(StandardCharsets.US_ASCII));
        var answer = new StringBuilder();
        while (!answer.toString().endsWith("\r\n\r\nhi")) {
            int next = socket.getInputStream().read();
            assertThat(next).as("behind '%s'", answer).isNotNegative();
            answer.append((char) next);
        }
        return answer.toString();
    }

    @Test
    void speaksTheVersionBefore() throws IOException {
        start(null, LONG);
        try (SSLSocket socket = socket(null, "TLSv1.2")) {
            assertThat(ask(socket)).startsWith("HTTP/1.1 200");
        }
    }

    @Test
    void takesNoOtherCertificateForItsClients() throws IOException {
        start(second, LONG);
        assertThatThrownBy(() -> {
            try (SSLSocket socket = socket(null)) {
                ask(socket);
            }
        }).isInstanceOf(IOException.class);
        assertThatThrownBy(() -> {
            try (SSLSocket socket = socket(first)) {
                ask(socket);
            }
        }).isInstanceOf(IOException.class);
        try (SSLSocket socket = socket(second)) {
            assertThat(ask(socket)).startsWith("HTTP/1.1 200");
        }
    }

    private static X509Certificate shown(SSLSocket socket) throws SSLException {
        return (X509Certificate) socket.getSession().getPeerCertificates()[0];
    }

    @Test
    void takesANewCertificateWithoutAnybodyNoticing() throws Exception {
        start(null, LONG);
        Path certificate = folder.resolve("tls.crt");
        Path key = folder.resolve("tls.key");
        try (SSLSocket open = socket(null); HttpClient client = client(HttpClient.Version.HTTP_2, null)) {
            assertThat(shown(open)).isEqualTo(first.certificate());
            var running = client.sendAsync(HttpRequest.newBuilder(uri("/parked")).timeout(PATIENCE).build(), HttpResponse.BodyHandlers.ofString());
            Exchange held = parked.poll(10, TimeUnit.SECONDS);
            TestCertificate.replace(certificate, second.certificatePem());
            eventually("the certificate without its key is refused", () -> refused.get() > 0);
            try (SSLSocket meanwhile = socket(null)) {
                assertThat(shown(meanwhile)).isEqualTo(first.certificate());
            }
            TestCertificate.replace(key, second.keyPem());
            eventually("the new certificate is in use", () -> second.certificate().getNotAfter().toInstant().equals(end.get()));
            eventually("it is shown", () -> {
                try (SSLSocket next = socket(null)) {
                    return shown(next).equals(second.certificate());
                } catch (IOException e) {
                    return false;
                }
            });
            assertThat(ask(open)).as("on a connection that was there before").startsWith("HTTP/1.1 200");
            held.respond(Response.text(200, "done"));
            assertThat(running.get(10, TimeUnit.SECONDS).body()).isEqualTo("done");
            int before = refused.get();
            Files.delete(key);
            eventually("a key that is gone is refused", () -> refused.get() > before);
            try (SSLSocket still = socket(null)) {
                assertThat(ask(still)).startsWith("HTTP/1.1 200");
            }
        }
    }

    @Test
    void doesNotStartWithFilesItCannotUse() throws IOException {
        Path certificate = folder.resolve("tls.crt");
        Path key = folder.resolve("tls.key");
        Files.writeString(certificate, "nothing");
        assertThatThrownBy(() -> start(null, LONG)).isInstanceOf(IOException.class).hasMessageContaining("there is no file " + key);
        Files.writeString(key, first.keyPem());
        assertThatThrownBy(() -> start(null, LONG)).isInstanceOf(IOException.class).hasMessageContaining(certificate.toString());
        Files.writeString(certificate, second.certificatePem());
        assertThatThrownBy(() -> start(null, LONG)).isInstanceOf(IOException.class).hasMessageContaining("is not the private key of the certificate in");
        Files.writeString(certificate, first.certificatePem());
        Files.writeString(key, "nothing");
        assertThatThrownBy(() -> start(null, LONG)).isInstanceOf(IOException.class).hasMessageContaining("cannot use " + key + ": there is no private key");
    }

    @Test
    void closesWhoDoesNotShakeHands() throws IOException {
        start(null, Duration.ofMillis(300));
        try (var silent = new Socket("127.0.0.1", server.address().getPort()); var plain = new Socket("127.0.0.1", server.address().getPort())) {
            plain.getOutputStream().write("GET /echo HTTP/1.1\r\nHost: a\r\n\r\n".getBytes(StandardCharsets.US_ASCII));
            for (Socket socket : new Socket[] {plain, silent}) {
                socket.setSoTimeout((int) PATIENCE.toMillis());
                assertThat(new String(socket.getInputStream().readAllBytes(), StandardCharsets.ISO_8859_1)).doesNotContain("HTTP");
            }
        }
        try (SSLSocket socket = socket(null)) {
            assertThat(ask(socket)).startsWith("HTTP/1.1 200");
        }
    }

    @Test
    void closesWhoIsTooMany() throws IOException {
        start(null, LONG);
        var open = new SSLSocket[4];
        for (int i = 0; i < open.length; i++) {
            open[i] = socket(null);
        }
        assertThatThrownBy(() -> socket(null)).isInstanceOf(IOException.class);
        for (SSLSocket socket : open) {
            assertThat(ask(socket)).startsWith("HTTP/1.1 200");
            socket.close();
        }
    }

    @Test
    void carriesGrpc() throws IOException {
        Path certificate = Files.writeString(folder.resolve("a.crt"), second.certificatePem());
        Path key = Files.writeString(folder.resolve("a.key"), second.keyPem());
        var trust = GrpcSslContexts.forClient().trustManager(new ByteArrayInputStream(second.certificatePem().getBytes(StandardCharsets.US_ASCII))).build();
        try (var whole = new TestServer("tls.certificate=" + certificate, "tls.key=" + key);
                var client = new GrpcClient(NettyChannelBuilder.forAddress("127.0.0.1", whole.port()).sslContext(trust).build())) {
            assertThat(GrpcClient.text(client.infer(GrpcClient.request("french", "x")))).isEqualTo("xfrench:x");
        }
    }
}
