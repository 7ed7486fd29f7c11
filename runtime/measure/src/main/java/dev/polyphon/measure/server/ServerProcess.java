package dev.polyphon.measure.server;

import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** A {@code polyphon serve} of its own on a free port, which closing stops. */
final class ServerProcess implements AutoCloseable {
    private static final Duration LONGEST_START = Duration.ofSeconds(60);

    private final HttpClient client = HttpClient.newHttpClient();
    private final Process process;
    private final URI root;
    private final Path log;
    private final double readySeconds;

    /**
     * Starts it and waits until it is ready.
     *
     * @param home the checkout's folder
     * @param options of {@code polyphon serve}
     */
    ServerProcess(Path home, List<String> options) throws IOException, InterruptedException {
        int port;
        try (ServerSocket free = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            port = free.getLocalPort();
        }
        root = URI.create("http://127.0.0.1:" + port);
        log = Files.createTempFile("polyphon-serve", ".log");
        List<String> command = new ArrayList<>(List.of(home.resolve("polyphon").toString(), "serve", "--port", Integer.toString(port)));
        command.addAll(options);
        long start = System.nanoTime();
        process = new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(log.toFile()).start();
        try {
            while (!ready()) {
                if (!process.isAlive() || System.nanoTime() - start > LONGEST_START.toNanos()) {
                    throw new IOException("the server does not start:\n" + Files.readString(log));
                }
                Thread.sleep(10);
            }
        } catch (IOException | InterruptedException e) {
            close();
            throw e;
        }
        readySeconds = (System.nanoTime() - start) / 1e9;
    }

    URI root() {
        return root;
    }

    /** From its start, the launcher's and Java's own included, to the moment it was ready. */
    double readySeconds() {
        return readySeconds;
    }

    private boolean ready() throws InterruptedException {
        try {
            return client.send(HttpRequest.newBuilder(root.resolve("/health/ready")).build(), HttpResponse.BodyHandlers.discarding()).statusCode() == 200;
        } catch (IOException e) {
            return false;
        }
    }

    /** The sum of a metric over those of its series whose labels hold the text. */
    double metric(String name, String labels) throws IOException, InterruptedException {
        String page = client.send(HttpRequest.newBuilder(root.resolve("/metrics")).build(), HttpResponse.BodyHandlers.ofString()).body();
        return page.lines().filter(line -> line.matches(name + "(\\{.*)? [^ ]+") && line.contains(labels))
                .mapToDouble(line -> Double.parseDouble(line.substring(line.lastIndexOf(' ') + 1))).sum();
    }

    /** Bytes of a line of Linux's status of the process, for example {@code VmRSS}; 0 where there is none. The launcher has become the server. */
    long status(String key) throws IOException {
        Path file = Path.of("/proc/" + process.pid() + "/status");
        return !Files.exists(file) ? 0 : Files.readAllLines(file).stream().filter(line -> line.startsWith(key + ":"))
                .mapToLong(line -> Long.parseLong(line.replaceAll("\\D", "")) * 1024).findFirst().orElse(0);
    }

    @Override
    public void close() throws IOException {
        process.destroy();
        try {
            if (!process.waitFor(20, TimeUnit.SECONDS)) {
                process.destroyForcibly();
            }
        } catch (InterruptedException e) {
            process.destroyForcibly();
            Thread.currentThread().interrupt();
        }
        client.close();
        Files.deleteIfExists(log);
    }
}
