package dev.polyphon.server.http;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.zip.DeflaterOutputStream;
import java.util.zip.GZIPInputStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** Bodies in gzip, both ways and in both versions of HTTP. */
class CodingTest {
    private static final Duration LONG = Duration.ofSeconds(60);
    private static final int MAX_BODY = 100_000;
    private static final int FROM = 1000;

    private HttpServer server;

    @BeforeEach
    void start() throws IOException {
        var settings = new HttpSettings("127.0.0.1", 0, 1, 64, 100, 32, 512, 2048, MAX_BODY, FROM, LONG, LONG, LONG, LONG, LONG, 64 << 10, 16 << 10, null);
        ErrorFormat errors = (status, message) -> Response.text(status, message);
        var router = new Router(errors)
                .post("/echo", exchange -> exchange.respond(Response.text(200, new String(exchange.request().body(), StandardCharsets.UTF_8))))
                .post("/binary", exchange -> exchange.respond(new Response(200, "application/octet-stream", exchange.request().body(), java.util.Map.of())))
                .stream("POST", "/upload", exchange -> exchange.respond(Response.text(200, "taken")));
        server = HttpServer.start(settings, router, errors, HttpObserver.NONE);
    }

    @AfterEach
    void stop() {
        server.close();
    }

    private HttpResponse<byte[]> post(HttpClient.Version version, String path, byte[] body, String... headers) throws Exception {
        try (HttpClient client = HttpClient.newBuilder().version(version).build()) {
            var request = HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + server.address().getPort() + path))
                    .timeout(LONG).POST(HttpRequest.BodyPublishers.ofByteArray(body));
            if (headers.length > 0) {
                request.headers(headers);
            }
            return client.send(request.build(), HttpResponse.BodyHandlers.ofByteArray());
        }
    }

    private HttpResponse<byte[]> post(String path, byte[] body, String... headers) throws Exception {
        return post(HttpClient.Version.HTTP_1_1, path, body, headers);
    }

    private static String text(int length) {
        return "polyphon ".repeat(length / 9 + 1).substring(0, length);
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    @ParameterizedTest
    @EnumSource(HttpClient.Version.class)
    void aBodyInGzipIsRead(HttpClient.Version version) throws Exception {
        if (version != HttpClient.Version.HTTP_1_1 && version != HttpClient.Version.HTTP_2) {
            return;
        }
        var answer = post(version, "/echo", Coding.gzip(bytes(text(50_000))), "Content-Encoding", "gzip");
        assertThat(answer.statusCode()).isEqualTo(200);
        assertThat(new String(answer.body(), StandardCharsets.UTF_8)).isEqualTo(text(50_000));
        assertThat(answer.headers().firstValue("content-encoding")).isEmpty();
    }

    @Test
    void deflateIsRead() throws Exception {
        var zlib = new ByteArrayOutputStream();
        try (var out = new DeflaterOutputStream(zlib)) {
            out.write(bytes("hello"));
        }
        assertThat(new String(post("/echo", zlib.toByteArray(), "Content-Encoding", "Deflate").body(), StandardCharsets.UTF_8)).isEqualTo("hello");
    }

    /** The limit holds for what is made of a body, of which no more than that is made. */
    @Test
    void aSmallBodyThatBecomesTooLargeIsRefused() throws Exception {
        assertThat(post("/echo", Coding.gzip(bytes(text(MAX_BODY))), "Content-Encoding", "gzip").statusCode()).isEqualTo(200);
        var answer = post("/echo", Coding.gzip(new byte[50_000_000]), "Content-Encoding", "gzip");
        assertThat(answer.statusCode()).isEqualTo(413);
        assertThat(new String(answer.body(), StandardCharsets.UTF_8)).contains("at most 100000 bytes");
    }

    @Test
    void aBrokenBodyIsRefused() throws Exception {
        byte[] whole = Coding.gzip(bytes(text(5000)));
        for (byte[] broken : List.of(bytes("not gzip"), Arrays.copyOf(whole, whole.length / 2), Arrays.copyOf(whole, 5))) {
            var answer = post("/echo", broken, "Content-Encoding", "gzip");
            assertThat(answer.statusCode()).isEqualTo(400);
            assertThat(new String(answer.body(), StandardCharsets.UTF_8)).startsWith("The request body is not valid gzip:");
        }
        byte[] wrong = whole.clone();
        wrong[whole.length - 6] ^= 1;
        assertThat(post("/echo", wrong, "Content-Encoding", "gzip").statusCode()).as("the checksum").isEqualTo(400);
    }

    @Test
    void whatIsTakenIsSaid() throws Exception {
        var answer = post("/echo", bytes("x"), "Content-Encoding", "zstd");
        assertThat(answer.statusCode()).isEqualTo(415);
        assertThat(answer.headers().firstValue("accept-encoding")).contains("gzip, deflate");
        assertThat(post("/upload", Coding.gzip(bytes("x")), "Content-Encoding", "gzip").statusCode()).isEqualTo(415);
    }

    @ParameterizedTest
    @EnumSource(HttpClient.Version.class)
    void anAnswerIsInGzipForThoseWhoTakeIt(HttpClient.Version version) throws Exception {
        if (version != HttpClient.Version.HTTP_1_1 && version != HttpClient.Version.HTTP_2) {
            return;
        }
        var answer = post(version, "/echo", bytes(text(FROM)), "Accept-Encoding", "br, gzip;q=0.5");
        assertThat(answer.headers().firstValue("content-encoding")).contains("gzip");
        assertThat(answer.headers().firstValue("vary")).contains("Accept-Encoding");
        assertThat(new GZIPInputStream(new ByteArrayInputStream(answer.body())).readAllBytes()).isEqualTo(bytes(text(FROM)));
        assertThat(answer.body().length).isLessThan(FROM / 4);
    }

    @ParameterizedTest
    @CsvSource({"/echo, 999, gzip", "/echo, 5000, identity", "/echo, 5000, gzip;q=0", "/echo, 5000, '*;q=0.0'", "/binary, 5000, gzip"})
    void otherAnswersAreAsTheyAre(String path, int length, String accept) throws Exception {
        var answer = post(path, bytes(text(length)), "Accept-Encoding", accept);
        assertThat(answer.headers().firstValue("content-encoding")).isEmpty();
        assertThat(answer.body()).isEqualTo(bytes(text(length)));
    }
}
