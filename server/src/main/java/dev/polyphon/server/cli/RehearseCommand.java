package dev.polyphon.server.cli;

import dev.polyphon.client.Message;
import dev.polyphon.client.PolyphonClient;
import dev.polyphon.client.Request;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.FutureTask;
import picocli.CommandLine;
import picocli.CommandLine.Command;

/**
 * {@code polyphon rehearse}: goes through a server's start and some requests with a model that is nothing, so that Java can keep what it learns of the
 * classes for later starts ({@code -XX:ArchiveClassesAtExit}, JEP 350). The launcher and the image do that once.
 */
@Command(name = "rehearse", hidden = true, mixinStandardHelpOptions = true,
        description = "Serves a tiny model for a moment, for Java to learn what a start needs.")
public final class RehearseCommand implements Callable<Integer> {
    private static final Duration LONGEST_START = Duration.ofSeconds(60);

    private final RuntimeOpener opener;
    private final ModelMaker model;

    /** Writes a small model as a GGUF file. */
    @FunctionalInterface
    public interface ModelMaker {
        void write(Path file) throws IOException;
    }

    public RehearseCommand(RuntimeOpener opener, ModelMaker model) {
        this.opener = opener;
        this.model = model;
    }

    @Override
    public Integer call() throws Exception {
        Path folder = Files.createTempDirectory("polyphon-rehearsal");
        Path gguf = folder.resolve("blank.gguf");
        Path settings = Files.createFile(folder.resolve("polyphon.yaml"));
        try {
            model.write(gguf);
            int port = freePort();
            FutureTask<Integer> server = new FutureTask<>(() -> new CommandLine(new ServeCommand(opener, environment())).execute("--config", settings.toString(),
                    "--base", gguf.toString(), "--host", InetAddress.getLoopbackAddress().getHostAddress(), "--port", Integer.toString(port),
                    "--adapters", Home.folder().resolve("configs/adapters").toString(), "--device", "cpu"));
            Thread.ofPlatform().daemon().start(server);
            try (var client = new PolyphonClient(URI.create("http://127.0.0.1:" + port))) {
                awaitReady(client, server);
                var request = new Request.Chat("blank", List.of(Message.user("Hello"))).with("max_tokens", 16);
                client.stream(request, text -> {});
            }
        } finally {
            Files.deleteIfExists(gguf);
            Files.delete(settings);
            Files.delete(folder);
        }
        // The end of the process stops the server, as it does a real one.
        return 0;
    }

    /** Without settings that are meant for a real server. */
    private static Map<String, String> environment() {
        Map<String, String> environment = new HashMap<>(System.getenv());
        environment.keySet().removeIf(name -> name.startsWith("POLYPHON_"));
        return environment;
    }

    private static int freePort() throws IOException {
        try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            return socket.getLocalPort();
        }
    }

    private static void awaitReady(PolyphonClient client, FutureTask<Integer> server) throws Exception {
        long end = System.nanoTime() + LONGEST_START.toNanos();
        while (true) {
            try {
                client.models();
                return;
            } catch (IOException e) {
                if (server.isDone()) {
                    throw new IOException("the server ended with status " + server.get());
                }
                if (System.nanoTime() > end) {
                    throw new IOException("the server is not ready after " + LONGEST_START.toSeconds() + " s", e);
                }
                TimeUnit.MILLISECONDS.sleep(20);
            }
        }
    }
}
