package dev.polyphon.server;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.polyphon.server.config.PolyphonConfig;
import dev.polyphon.server.config.Sources;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** A server on a loopback port over a {@link FakeRuntime}, and a client for it. */
public final class TestServer implements AutoCloseable {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final Duration PATIENCE = Duration.ofSeconds(20);

    /** An answer whose body was read to the end. */
    public record Answer(int status, String body, HttpResponse<?> response) {
        public JsonNode json() {
            return parse(body);
        }

        public JsonNode error() {
            return json().path("error");
        }

        public String header(String name) {
            return response.headers().firstValue(name).orElse(null);
        }

        /** The data of server-sent events, in order. */
        public List<String> events() {
            var events = new ArrayList<String>();
            for (String block : body.split("\n\n")) {
                events.add(block.substring("data: ".length()));
            }
            return events;
        }

        /** The events that are JSON: all but {@code [DONE]}. */
        public List<JsonNode> chunks() {
            return events().stream().filter(event -> !event.equals("[DONE]")).map(TestServer::parse).toList();
        }
    }

    public final FakeRuntime runtime = new FakeRuntime();
    public final PolyphonServer server;
    private final HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).connectTimeout(PATIENCE).build();

    /** @param settings {@code key=value}, as on the command line */
    public TestServer(String... settings) {
        var values = new HashMap<String, String>(Map.of("server.port", "0", "server.ioThreads", "2"));
        for (String setting : settings) {
            var assignment = Sources.assignment(setting);
            values.put(assignment.getKey(), assignment.getValue());
        }
        try {
            server = new PolyphonServer(PolyphonConfig.read(Sources.of(null, Map.of(), values)), runtime);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    public int port() {
        return server.address().getPort();
    }

    public URI uri(String path) {
        return URI.create("http://127.0.0.1:" + port() + path);
    }

    public RawClient raw() throws IOException {
        return new RawClient(port());
    }

    public Answer get(String path, String... headers) {
        return send(request(path, headers).GET());
    }

    public Answer post(String path, String json, String... headers) {
        return send(request(path, headers)
                .header("Content-Type", "application/json")
                .POST(HttpRequest.BodyPublishers.ofString(json)));
    }

    public HttpRequest.Builder request(String path, String... headers) {
        var builder = HttpRequest.newBuilder(uri(path)).timeout(PATIENCE);
        return headers.length == 0 ? builder : builder.headers(headers);
    }

    public Answer send(HttpRequest.Builder request) {
        try {
            var response = client.send(request.build(), HttpResponse.BodyHandlers.ofString());
            return new Answer(response.statusCode(), response.body(), response);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    public static JsonNode parse(String json) {
        try {
            return JSON.readTree(json);
        } catch (IOException e) {
            throw new UncheckedIOException("not JSON: " + json, e);
        }
    }

    @Override
    public void close() {
        client.close();
        server.close();
    }
}
