package dev.polyphon.client;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandler;
import java.net.http.HttpResponse.BodyHandlers;
import java.net.http.HttpResponse.BodySubscribers;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Consumer;
import java.util.stream.Collectors;

/**
 * A server, as seen by its users. Safe for use by many threads. Methods that wait throw {@link PolyphonException} with the server's own message when
 * it refuses, and end the request when their thread is interrupted; futures fail with the same exceptions, and end it when they are cancelled.
 */
public final class PolyphonClient implements AutoCloseable {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final String OPERATIONS = "/admin/v1/operations";

    private final HttpClient http = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).connectTimeout(Duration.ofSeconds(10)).build();
    private final URI server;
    private final String key;

    /** A server that wants no key. */
    public PolyphonClient(URI server) {
        this(server, null);
    }

    /**
     * @param server its root, for example {@code http://localhost:8000}
     * @param key the API key; null for none
     */
    public PolyphonClient(URI server, String key) {
        this.server = server;
        this.key = key;
    }

    /** What requests may name as their model: bases, then adapters. */
    public List<Model> models() throws IOException, InterruptedException {
        var models = new ArrayList<Model>();
        for (JsonNode model : JSON.readTree(text("/v1/models", null)).path("data")) {
            models.add(new Model(model.path("id").asText(), model.path("parent").textValue(), model.path("max_model_len").asInt()));
        }
        return models;
    }

    /** Waits for the whole answer. */
    public Answer ask(Request request) throws IOException, InterruptedException {
        return await(askAsync(request));
    }

    /** Tells of the answer once it is whole. */
    public CompletableFuture<Answer> askAsync(Request request) {
        var sent = http.sendAsync(post(path(request), body(request)), BodyHandlers.ofString());
        return linked(sent, sent.thenApply(answer -> {
            try {
                JsonNode whole = JSON.readTree(checked(answer));
                JsonNode choice = whole.path("choices").path(0);
                JsonNode usage = whole.path("usage");
                return new Answer(whole.path("id").asText(), whole.path("model").asText(),
                        choice.path("message").path("content").asText(choice.path("text").asText("")), choice.path("finish_reason").textValue(),
                        usage.path("prompt_tokens").asInt(), usage.path("completion_tokens").asInt());
            } catch (IOException e) {
                throw new CompletionException(e);
            }
        }));
    }

    /**
     * Hands pieces of the answer's text to a listener as they come, and waits for its end.
     *
     * @param listener called on a thread of the client's, one piece at a time
     */
    public Answer stream(Request request, Consumer<String> listener) throws IOException, InterruptedException {
        return await(streamAsync(request, listener));
    }

    /** The same without waiting. */
    public CompletableFuture<Answer> streamAsync(Request request, Consumer<String> listener) {
        ObjectNode body = body(request).put("stream", true);
        body.putObject("stream_options").put("include_usage", true);
        var events = new Events(JSON, listener);
        BodyHandler<String> handler = info -> info.statusCode() == 200
                ? BodySubscribers.mapping(BodySubscribers.fromLineSubscriber(events), _ -> "")
                : BodyHandlers.ofString().apply(info);
        var sent = http.sendAsync(post(path(request), body), handler);
        sent.whenComplete((answer, failure) -> {
            try {
                if (failure != null) {
                    events.onError(failure);
                } else {
                    checked(answer);
                }
            } catch (PolyphonException e) {
                events.onError(e);
            }
        });
        return linked(sent, events.answer());
    }

    /**
     * Loads an adapter.
     *
     * @param folder where the server finds it
     */
    public void loadAdapter(String name, String folder) throws IOException, InterruptedException {
        text("/v1/load_lora_adapter", JSON.createObjectNode().put("lora_name", name).put("lora_path", folder));
    }

    /** Forgets an adapter; its requests under way finish. */
    public void unloadAdapter(String name) throws IOException, InterruptedException {
        text("/v1/unload_lora_adapter", JSON.createObjectNode().put("lora_name", name));
    }

    /** Hears how far a transfer is: bytes sent, and all that are to be. */
    @FunctionalInterface
    public interface Transfer {
        void at(long sent, long total);
    }

    /**
     * Sends an adapter's files, which the server keeps and registers when they turn out to work.
     *
     * @param from its folder, or a .zip, .tar, .tar.gz or .tgz of that
     * @param query {@code owner}, {@code base}, {@code version} (the hash it must have), {@code replace}
     * @param transfer called on a thread of the client's
     * @return what the server says of it
     */
    public JsonNode uploadAdapter(String name, Path from, Map<String, String> query, Transfer transfer) throws IOException, InterruptedException {
        var total = new AtomicLong();
        AdapterFiles files = AdapterFiles.of(from, sent -> transfer.at(sent, total.get()));
        total.set(files.bytes());
        String path = "/admin/v1/adapters/" + encoded(name) + "/files" + query.entrySet().stream()
                .map(entry -> encoded(entry.getKey()) + "=" + encoded(entry.getValue())).collect(Collectors.joining("&", "?", ""));
        return JSON.readTree(checked(http.send(request(path).header("Content-Type", files.type()).PUT(files.body()).build(), BodyHandlers.ofString())));
    }

    private static String encoded(String text) {
        return URLEncoder.encode(text, StandardCharsets.UTF_8).replace("+", "%20");
    }

    /**
     * Asks for an operation on adapters, which then runs by itself.
     *
     * @param request its {@code operation}, adapters, options and {@code to}, as {@code POST /admin/v1/operations} takes them
     */
    public Operation startOperation(ObjectNode request) throws IOException, InterruptedException {
        return Operation.of(JSON.readTree(text(OPERATIONS, request)));
    }

    public Operation operation(String id) throws IOException, InterruptedException {
        return Operation.of(JSON.readTree(text(one(id), null)));
    }

    /** Those that run, wait, or ended not long ago; the newest first. */
    public List<Operation> operations() throws IOException, InterruptedException {
        var operations = new ArrayList<Operation>();
        JSON.readTree(text(OPERATIONS, null)).path("data").forEach(json -> operations.add(Operation.of(json)));
        return operations;
    }

    /** Ends an operation at its next step; it leaves nothing then. One that has ended stays as it is. */
    public Operation cancelOperation(String id) throws IOException, InterruptedException {
        return Operation.of(JSON.readTree(text(one(id) + "/cancel", JSON.createObjectNode())));
    }

    private static String one(String id) {
        return OPERATIONS + "/" + URLEncoder.encode(id, StandardCharsets.UTF_8);
    }

    /**
     * Asks the server's API for operators (tenants, keys, usage, ...), or any of its routes that answers with JSON.
     *
     * @param path with its query
     * @param body null for none
     */
    public JsonNode admin(String method, String path, ObjectNode body) throws IOException, InterruptedException {
        var publisher = body == null ? HttpRequest.BodyPublishers.noBody() : HttpRequest.BodyPublishers.ofString(body.toString());
        return JSON.readTree(checked(http.send(request(path).header("Content-Type", "application/json").method(method, publisher).build(), BodyHandlers.ofString())));
    }

    /**
     * Sends a request's body as it is, and takes the answer as it is, whatever its status.
     *
     * @param path with its query
     * @param limit the longest wait for the answer
     * @throws java.net.http.HttpTimeoutException when the answer is not there then
     */
    public Reply post(String path, JsonNode body, Duration limit) throws IOException, InterruptedException {
        return Reply.of(http.send(request(path).header("Content-Type", "application/json").timeout(limit)
                .POST(HttpRequest.BodyPublishers.ofString(body.toString())).build(), BodyHandlers.ofString()));
    }

    public Metrics metrics() throws IOException, InterruptedException {
        return Metrics.parse(text("/metrics", null));
    }

    @Override
    public void close() {
        http.shutdownNow();
        http.close();
    }

    private static String path(Request request) {
        return switch (request) {
            case Request.Completion _ -> "/v1/completions";
            case Request.Chat _ -> "/v1/chat/completions";
        };
    }

    private static ObjectNode body(Request request) {
        ObjectNode body = JSON.valueToTree(request.fields());
        body.put("model", request.model());
        switch (request) {
            case Request.Completion completion -> body.put("prompt", completion.prompt());
            case Request.Chat chat -> body.set("messages", JSON.valueToTree(chat.messages()));
        }
        return body;
    }

    /** @param body null for GET */
    private String text(String path, ObjectNode body) throws IOException, InterruptedException {
        return checked(http.send(body == null ? request(path).GET().build() : post(path, body), BodyHandlers.ofString()));
    }

    private HttpRequest post(String path, ObjectNode body) {
        return request(path).header("Content-Type", "application/json").POST(HttpRequest.BodyPublishers.ofString(body.toString())).build();
    }

    private HttpRequest.Builder request(String path) {
        var request = HttpRequest.newBuilder(server.resolve(path));
        return key == null ? request : request.header("Authorization", "Bearer " + key);
    }

    private static String checked(HttpResponse<String> answer) throws PolyphonException {
        if (answer.statusCode() == 200) {
            return answer.body();
        }
        String message = answer.body();
        String code = null;
        try {
            JsonNode error = JSON.readTree(answer.body()).path("error");
            message = error.path("message").asText(message);
            code = error.path("code").textValue();
        } catch (JsonProcessingException e) {
            // Not the API's own error, but a gateway's, say: told as it is.
        }
        throw new PolyphonException(answer.statusCode(), code, message.isEmpty() ? "the server answers " + answer.statusCode() : message,
                Reply.retryAfter(answer).orElse(null));
    }

    /** The answer's future; cancelling it cancels the exchange. */
    private static CompletableFuture<Answer> linked(CompletableFuture<?> exchange, CompletableFuture<Answer> answer) {
        answer.whenComplete((_, _) -> {
            if (answer.isCancelled()) {
                exchange.cancel(true);
            }
        });
        return answer;
    }

    private static Answer await(CompletableFuture<Answer> answer) throws IOException, InterruptedException {
        try {
            return answer.get();
        } catch (InterruptedException e) {
            answer.cancel(true);
            throw e;
        } catch (ExecutionException e) {
            Throwable cause = e.getCause();
            if (cause instanceof CompletionException wrapped) {
                cause = wrapped.getCause();
            }
            switch (cause) {
                case IOException io -> throw io;
                case RuntimeException unchecked -> throw unchecked;
                default -> throw new IOException(cause);
            }
        }
    }
}
