package dev.polyphon.engine.pool.source;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import dev.polyphon.runtime.AdapterSource;
import dev.polyphon.runtime.RuntimeFault;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.time.Duration;
import java.time.Instant;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CancellationException;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executors;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Against a hub and an S3 store on this machine's loopback. */
class FetcherTest {
    private static final byte[] CONFIG = "{\"peft_type\": \"LORA\"}".getBytes(StandardCharsets.UTF_8);
    private static final Duration STALL = Duration.ofSeconds(1);
    private static final String COMMIT = "0123456789abcdef0123456789abcdef01234567";
    private static final SourceOptions.S3 KEYS = new SourceOptions.S3(null, "eu-test-1", "AKID", "secret", "session", true);

    @TempDir
    Path into;

    private final Map<String, byte[]> files = new ConcurrentHashMap<>();
    private final List<String> asked = new ArrayList<>();
    private final byte[] weights = new byte[700_000];
    /** The next answers with a body stop after so many bytes. */
    private int breakAfter = Integer.MAX_VALUE;
    private boolean rangesIgnored;
    private String sha256;
    private HttpServer server;
    private URI here;

    @BeforeEach
    void start() throws Exception {
        for (int i = 0; i < weights.length; i++) {
            weights[i] = (byte) (i * 31 + i / 251);
        }
        sha256 = HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(weights));
        server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.setExecutor(Executors.newVirtualThreadPerTaskExecutor());
        server.createContext("/", exchange -> {
            try (exchange) {
                synchronized (asked) {
                    asked.add(exchange.getRequestURI().getRawPath() + " " + exchange.getRequestHeaders().getFirst("Range"));
                }
                answer(exchange);
            }
        });
        server.start();
        here = URI.create("http://127.0.0.1:" + server.getAddress().getPort());
    }

    @AfterEach
    void stop() {
        server.stop(0);
    }

    private void answer(HttpExchange exchange) throws IOException {
        String path = exchange.getRequestURI().getPath();
        String token = exchange.getRequestHeaders().getFirst("Authorization");
        if (path.startsWith("/org/private/") && !"Bearer hf_secret".equals(token)) {
            exchange.sendResponseHeaders(401, -1);
            return;
        }
        if (path.startsWith("/bucket/") && !signed(exchange)) {
            send(exchange, 403, "<Error><Code>SignatureDoesNotMatch</Code></Error>".getBytes(StandardCharsets.UTF_8));
            return;
        }
        if (path.startsWith("/cdn/") && token != null) {
            exchange.sendResponseHeaders(400, -1);
            return;
        }
        byte[] content = files.get(path);
        if (content == null) {
            exchange.sendResponseHeaders(404, -1);
            return;
        }
        exchange.getResponseHeaders().set("X-Repo-Commit", COMMIT);
        exchange.getResponseHeaders().set("ETag", "\"" + Arrays.hashCode(content) + "\"");
        if (content.length > 1000 && path.startsWith("/org/")) {
            exchange.getResponseHeaders().set("X-Linked-Etag", "\"" + sha256 + "\"");
            exchange.getResponseHeaders().set("Location", "http://localhost:" + here.getPort() + "/cdn" + path);
            files.put("/cdn" + path, content);
            exchange.sendResponseHeaders(302, -1);
            return;
        }
        if (content.length > 1000 && path.startsWith("/bucket/")) {
            exchange.getResponseHeaders().set("x-amz-checksum-sha256", Base64.getEncoder().encodeToString(HexFormat.of().parseHex(sha256)));
        }
        send(exchange, 200, content);
    }

    private void send(HttpExchange exchange, int status, byte[] content) throws IOException {
        String range = rangesIgnored ? null : exchange.getRequestHeaders().getFirst("Range");
        int from = range == null ? 0 : Integer.parseInt(range.replaceAll("\\D", ""));
        if (range != null && from >= content.length) {
            exchange.sendResponseHeaders(416, -1);
            return;
        }
        if (range != null) {
            exchange.getResponseHeaders().set("Content-Range", "bytes " + from + "-" + (content.length - 1) + "/" + content.length);
        }
        exchange.sendResponseHeaders(range == null ? status : 206, content.length - from);
        int end = (int) Math.min(content.length, (long) from + breakAfter);
        exchange.getResponseBody().write(content, from, end - from);
        if (end < content.length) {
            exchange.getResponseBody().flush();
            throw new IOException("broken off on purpose");
        }
    }

    /** Signs what came once more, by the headers that it says are signed. */
    private static boolean signed(HttpExchange exchange) {
        String authorization = exchange.getRequestHeaders().getFirst("Authorization");
        String date = exchange.getRequestHeaders().getFirst("X-amz-date");
        if (authorization == null || !"session".equals(exchange.getRequestHeaders().getFirst("X-amz-security-token"))) {
            return false;
        }
        Map<String, String> headers = new TreeMap<>();
        for (String name : authorization.replaceAll(".*SignedHeaders=([^,]*),.*", "$1").split(";")) {
            headers.put(name, exchange.getRequestHeaders().getFirst(name));
        }
        List.of("host", "x-amz-date", "x-amz-content-sha256", "x-amz-security-token").forEach(headers::remove);
        URI address = URI.create("http://" + exchange.getRequestHeaders().getFirst("Host") + exchange.getRequestURI().getRawPath());
        Instant time = Instant.from(DateTimeFormatter.ofPattern("yyyyMMdd'T'HHmmssX").parse(date));
        return SignatureV4.headers("GET", address, headers, KEYS, time).get("authorization").equals(authorization);
    }

    private Fetcher fetcher(String token) {
        return new Fetcher(new SourceOptions(new SourceOptions.Hub(here, token), new SourceOptions.S3(here, KEYS.region(), KEYS.accessKey(), KEYS.secretKey(),
                KEYS.sessionToken(), true), Duration.ofSeconds(5), STALL, 1 << 10, 1 << 20));
    }

    private AdapterSource fetch(String source) throws IOException {
        try (Fetcher fetcher = fetcher("hf_secret")) {
            return fetcher.fetch(AdapterSource.parse(source), into, bytes -> {});
        }
    }

    private void put(String folder) {
        files.put(folder + "adapter_config.json", CONFIG);
        files.put(folder + "adapter_model.safetensors", weights);
    }

    @Test
    void takesAnAdapterFromAHub() throws IOException {
        put("/org/private/resolve/main/");
        files.put("/org/private/resolve/" + COMMIT + "/adapter_model.safetensors", weights);
        assertThat(fetch("hf://org/private").uri()).as("pinned to the commit").isEqualTo("hf://org/private@" + COMMIT);
        assertThat(into.resolve("adapter_config.json")).hasBinaryContent(CONFIG);
        assertThat(into.resolve("adapter_model.safetensors")).hasBinaryContent(weights);
        try (Fetcher fetcher = fetcher(null)) {
            assertThatThrownBy(() -> fetcher.fetch(AdapterSource.parse("hf://org/private"), into, bytes -> {})).hasMessageContaining("answers 401")
                    .hasMessageContaining("no token");
        }
    }

    @Test
    void takesAnAdapterFromS3() throws IOException {
        files.put("/bucket/team a/x/adapter_config.json", CONFIG);
        files.put("/bucket/team a/x/adapter_model.bin", weights);
        assertThat(fetch("s3://bucket/team a/x").uri()).isEqualTo("s3://bucket/team a/x");
        assertThat(into.resolve("adapter_model.bin")).hasBinaryContent(weights);
        assertThat(into.resolve("adapter_model.safetensors")).doesNotExist();
        try (Fetcher wrong = new Fetcher(new SourceOptions(null, new SourceOptions.S3(here, "eu-test-1", "AKID", "other", "session", true), Duration.ofSeconds(5),
                Duration.ofSeconds(5), 1, 1 << 20))) {
            assertThatThrownBy(() -> wrong.fetch(AdapterSource.parse("s3://bucket/team a/x"), into, bytes -> {}))
                    .hasMessageContaining("403 (SignatureDoesNotMatch)");
            assertThatThrownBy(() -> wrong.fetch(AdapterSource.parse("hf://a/b"), into, bytes -> {})).isInstanceOf(RuntimeFault.class);
        }
    }

    @Test
    void goesOnWhereATransferBrokeOff() throws IOException {
        for (String folder : List.of("/org/a/resolve/" + COMMIT + "/", "/bucket/a/")) {
            put(folder);
            breakAfter = 300_000;
            fetch(folder.startsWith("/org") ? "hf://org/a@" + COMMIT : "s3://bucket/a");
            assertThat(into.resolve("adapter_model.safetensors")).hasBinaryContent(weights);
            assertThat(asked).anyMatch(line -> line.matches(".*safetensors bytes=[1-9]\\d+-"));
        }
    }

    @Test
    void beginsAnewWhereRangesAreIgnoredOrTheContentHasChanged() throws IOException {
        put("/bucket/a/");
        breakAfter = 300_000;
        rangesIgnored = true;
        assertThatThrownBy(() -> fetch("s3://bucket/a")).hasMessageContaining("broke off");
        assertThat(asked).filteredOn(line -> line.contains("safetensors")).hasSizeLessThan(25);
    }

    @Test
    void refusesWhatIsDamagedTooLargeOrNoAdapter() throws IOException {
        put("/org/a/resolve/main/");
        put("/org/a/resolve/" + COMMIT + "/");
        sha256 = sha256.replaceFirst("^.", sha256.startsWith("0") ? "1" : "0");
        assertThatThrownBy(() -> fetch("hf://org/a")).hasMessageContaining("its origin says " + sha256);
        files.put("/org/a/resolve/" + COMMIT + "/adapter_model.safetensors", new byte[(1 << 20) + 1]);
        assertThatThrownBy(() -> fetch("hf://org/a")).hasMessageContaining("may have 1048576 bytes");
        files.remove("/org/a/resolve/" + COMMIT + "/adapter_model.safetensors");
        assertThatThrownBy(() -> fetch("hf://org/a")).hasMessageContaining("has no adapter_model.safetensors and no adapter_model.bin");
        assertThatThrownBy(() -> fetch("hf://org/none")).hasMessageContaining("has no adapter_config.json");
        files.put("/org/a/resolve/main/adapter_config.json", "[]".getBytes(StandardCharsets.UTF_8));
        assertThatThrownBy(() -> fetch("hf://org/a")).hasMessageContaining("has no peft_type").hasMessageNotContaining(into.toString());
    }

    @Test
    void endsWhenItIsNoLongerWanted() {
        put("/org/a/resolve/" + COMMIT + "/");
        try (Fetcher fetcher = fetcher(null)) {
            assertThatThrownBy(() -> fetcher.fetch(AdapterSource.parse("hf://org/a@" + COMMIT), into, bytes -> {
                if (bytes > 1000) {
                    throw new CancellationException("enough");
                }
            })).isInstanceOf(CancellationException.class);
        }
        assertThat(Files.exists(into.resolve("adapter_config.json"))).isTrue();
    }

    /** A try that ends after so many bytes, as if its process had been killed. */
    private void begin(String source, int most) {
        int[] came = {0};
        try (Fetcher fetcher = fetcher("hf_secret")) {
            assertThatThrownBy(() -> fetcher.fetch(AdapterSource.parse(source), into, bytes -> {
                came[0] += bytes;
                if (came[0] > most) {
                    throw new CancellationException("killed");
                }
            })).isInstanceOf(CancellationException.class);
        }
    }

    @Test
    void goesOnWithWhatAnEarlierProcessLeft() throws Exception {
        for (String folder : List.of("/org/a/resolve/" + COMMIT + "/", "/bucket/a/")) {
            String source = folder.startsWith("/org") ? "hf://org/a@" + COMMIT : "s3://bucket/a";
            put(folder);
            begin(source, 400_000);
            asked.clear();
            fetch(source);
            assertThat(asked).anyMatch(line -> line.matches(".*safetensors bytes=[1-9]\\d+-"));
            assertThat(into.resolve("adapter_model.safetensors")).hasBinaryContent(weights);
            assertThat(into.toFile().list()).as("nothing else").containsExactlyInAnyOrder("adapter_config.json", "adapter_model.safetensors");
            Files.delete(into.resolve("adapter_model.safetensors"));

            // Damaged meanwhile: what the origin says the whole must have shows it.
            begin(source, 400_000);
            Files.write(into.resolve("adapter_model.safetensors"), new byte[1000]);
            fetch(source);
            assertThat(into.resolve("adapter_model.safetensors")).hasBinaryContent(weights);
            Files.delete(into.resolve("adapter_model.safetensors"));

            // All of it came, and the process was killed before it was checked.
            Files.write(into.resolve("adapter_model.safetensors"), weights);
            Files.writeString(into.resolve("adapter_model.safetensors.tag"), "tag");
            fetch(source);
            assertThat(into.resolve("adapter_model.safetensors")).hasBinaryContent(weights);
            Files.delete(into.resolve("adapter_model.safetensors"));

            // Another content by now.
            begin(source, 400_000);
            weights[5]++;
            sha256 = HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(weights));
            put(folder);
            fetch(source);
            assertThat(into.resolve("adapter_model.safetensors")).hasBinaryContent(weights);
            Files.delete(into.resolve("adapter_model.safetensors"));
        }
    }
}
