package dev.polyphon.engine.pool.source;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowable;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;

import dev.polyphon.runtime.AdapterSource;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.assertj.core.api.AbstractThrowableAssert;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Hubs and stores, on the loopback, that answer as no honest one would: each transfer ends, in bounded time, with bounded bytes and a reason. */
class HostileSourceTest {
    private static final int LARGEST = 1 << 20;
    private static final String CONFIG = "{\"peft_type\": \"LORA\"}";
    private static final String OK = "HTTP/1.1 200 OK\r\n";
    /** No transfer here may take longer, on however slow a machine. */
    private static final Duration LIMIT = Duration.ofSeconds(60);

    @TempDir
    Path into;

    private final AtomicInteger asked = new AtomicInteger();
    private final CompletableFuture<Void> hungUp = new CompletableFuture<>();
    private ServerSocket listening;
    private volatile Answer answer;

    /** Writes whatever it likes to one who asked; the connection is closed when it returns. */
    @FunctionalInterface
    private interface Answer {
        void to(String path, boolean range, OutputStream out) throws IOException;
    }

    @BeforeEach
    void start() throws IOException {
        listening = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
        Thread.ofVirtual().start(() -> {
            while (true) {
                try {
                    Socket socket = listening.accept();
                    Thread.ofVirtual().start(() -> serve(socket));
                } catch (IOException e) {
                    return;
                }
            }
        });
    }

    @AfterEach
    void stop() throws IOException {
        listening.close();
    }

    private void serve(Socket socket) {
        try (socket) {
            BufferedReader in = new BufferedReader(new InputStreamReader(socket.getInputStream(), StandardCharsets.US_ASCII));
            String path = in.readLine();
            boolean range = false;
            for (String line = in.readLine(); line != null && !line.isEmpty(); line = in.readLine()) {
                range |= line.toLowerCase(java.util.Locale.ROOT).startsWith("range:");
            }
            asked.incrementAndGet();
            answer.to(path, range, socket.getOutputStream());
        } catch (IOException e) {
            hungUp.complete(null);
        }
    }

    private static void say(OutputStream out, String text) throws IOException {
        out.write(text.getBytes(StandardCharsets.US_ASCII));
        out.flush();
    }

    private static void whole(OutputStream out, String body) throws IOException {
        say(out, OK + "Content-Length: " + body.length() + "\r\n\r\n" + body);
    }

    /** Answers the configuration honestly, and the tensors like this. */
    private static Answer tensors(Answer hostile) {
        return (path, range, out) -> {
            if (path.contains("adapter_config.json")) {
                whole(out, CONFIG);
            } else {
                hostile.to(path, range, out);
            }
        };
    }

    /** Writes until the other side hangs up. */
    private static void pour(OutputStream out, String piece) throws IOException {
        byte[] bytes = piece.getBytes(StandardCharsets.US_ASCII);
        while (true) {
            out.write(bytes);
        }
    }

    private static void pause(long millis) throws IOException {
        try {
            Thread.sleep(millis);
        } catch (InterruptedException e) {
            throw new IOException(e);
        }
    }

    /** Fetches from the hub, and from the store; what came of it. */
    private AbstractThrowableAssert<?, ?> fetched(String source, Duration connect, Duration stall) {
        URI here = URI.create("http://127.0.0.1:" + listening.getLocalPort());
        SourceOptions options = new SourceOptions(new SourceOptions.Hub(here, null), new SourceOptions.S3(here, "eu-test-1", null, null, null, true),
                connect, stall, 1 << 10, LARGEST);
        Throwable failure = assertTimeoutPreemptively(LIMIT, () -> {
            try (Fetcher fetcher = new Fetcher(options)) {
                return catchThrowable(() -> fetcher.fetch(AdapterSource.parse(source), into, bytes -> {}));
            }
        });
        for (Path file : Arrays.stream(into.toFile().listFiles()).map(java.io.File::toPath).toList()) {
            assertThat(Files.exists(file) ? file.toFile().length() : 0).as("what was written to %s", file).isLessThanOrEqualTo(LARGEST);
        }
        return assertThat(failure).isInstanceOf(IOException.class);
    }

    private void refused(String... reason) {
        for (String source : new String[] {"hf://org/a", "s3://bucket/a"}) {
            asked.set(0);
            fetched(source, Duration.ofSeconds(20), Duration.ofSeconds(20)).message().containsAnyOf(reason);
            assertThat(asked.get()).as("requests to %s", source).isLessThan(30);
        }
    }

    @Test
    void redirectsForEver() {
        answer = (path, range, out) -> {
            say(out, "HTTP/1.1 302 Found\r\nLocation: /" + asked + "\r\nTransfer-Encoding: chunked\r\n\r\n");
            pour(out, "400\r\n" + "r".repeat(0x400) + "\r\n");
        };
        refused("redirects more than", "answers 302");
        assertThat(hungUp).as("bodies of redirects are not read").succeedsWithin(20, TimeUnit.SECONDS);
    }

    @Test
    void sendsPartsOfWhatWasAskedForWhole() {
        for (String status : new String[] {"206 Partial Content", "416 Range Not Satisfiable", "412 Precondition Failed"}) {
            answer = (path, range, out) -> say(out, "HTTP/1.1 " + status + "\r\nContent-Range: bytes 0-4/5\r\nETag: \"x\"\r\nContent-Length: 5\r\n\r\nabcde");
            refused("answers " + status.substring(0, 3) + " to a request for a whole file");
        }
    }

    @Test
    void refusesEveryRangeOfWhatItBreaksOff() {
        answer = tensors((path, range, out) -> say(out, range ? "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\n\r\n"
                : OK + "ETag: \"x\"\r\nContent-Length: 1000\r\n\r\n" + "t".repeat(500)));
        refused("broke off after 500 bytes", "ended after 500");
    }

    @Test
    void goesOnFromElsewhere() {
        answer = tensors((path, range, out) -> {
            if (range) {
                say(out, "HTTP/1.1 206 Partial Content\r\nETag: \"x\"\r\nContent-Range: bytes 7-999/1000\r\nContent-Length: 993\r\n\r\n" + "t".repeat(993));
            } else {
                say(out, OK + "ETag: \"x\"\r\nContent-Length: 1000\r\n\r\n" + "t".repeat(500));
            }
        });
        refused("the answer begins at 7");
    }

    @Test
    void pours() {
        answer = tensors((path, range, out) -> {
            say(out, OK + "Transfer-Encoding: chunked\r\n\r\n");
            pour(out, "400\r\n" + "e".repeat(0x400) + "\r\n");
        });
        refused("may have " + LARGEST + " bytes, its origin has more");
        assertThat(hungUp).succeedsWithin(20, TimeUnit.SECONDS);
        answer = (path, range, out) -> {
            say(out, OK + "\r\n");
            pour(out, " ".repeat(1000));
        };
        refused("may have 1048576 bytes");
    }

    @Test
    void poursHeaders() {
        answer = (path, range, out) -> {
            say(out, OK);
            pour(out, "X-More: " + "h".repeat(1000) + "\r\n");
        };
        refused("cannot be reached");
        assertThat(hungUp).succeedsWithin(20, TimeUnit.SECONDS);
    }

    @Test
    void liesAboutLengths() {
        answer = tensors((path, range, out) -> say(out, OK + "Content-Length: " + (1L << 40) + "\r\n\r\nabc"));
        refused("its origin has 1099511627776 bytes");
        for (String length : new String[] {"1000000", "99999999999999999999", "-1", "many"}) {
            answer = tensors((path, range, out) -> say(out, OK + "Content-Length: " + length + "\r\n\r\nabc"));
            refused("broke off", "ended after", "not valid HTTP", "Content-Length is -1");
        }
        // Less than there is, which only the checksum shows.
        String sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        answer = tensors((path, range, out) -> say(out, OK + "X-Linked-Etag: \"" + sum + "\"\r\nx-amz-checksum-sha256: "
                + java.util.Base64.getEncoder().encodeToString(java.util.HexFormat.of().parseHex(sum)) + "\r\nContent-Length: 2\r\n\r\nabc"));
        refused("its origin says " + sum);
    }

    @Test
    void isSilent() {
        answer = (path, range, out) -> {
            while (true) {
                pause(100);
                say(out, "");
            }
        };
        fetched("hf://org/a", Duration.ofMillis(300), LIMIT).hasMessageContaining("cannot be reached");
        answer = (path, range, out) -> {
            say(out, OK);
            while (true) {
                say(out, "X");
                pause(20);
            }
        };
        fetched("hf://org/a", Duration.ofMillis(300), LIMIT).hasMessageContaining("cannot be reached");
    }

    @Test
    void sendsAByteNowAndThen() {
        // Far from its limit, and never silent: only its rate ends it.
        answer = tensors((path, range, out) -> {
            say(out, OK + "Transfer-Encoding: chunked\r\n\r\n");
            while (true) {
                say(out, "1\r\nd\r\n");
                pause(20);
            }
        });
        for (String source : new String[] {"hf://org/a", "s3://bucket/a"}) {
            fetched(source, Duration.ofSeconds(20), Duration.ofMillis(200)).hasMessageContaining("less than 1024 bytes a second came for 200 ms");
        }
        assertThat(hungUp).succeedsWithin(20, TimeUnit.SECONDS);
    }
}
