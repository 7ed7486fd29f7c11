package dev.polyphon.bench;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/**
 * The server under load. Its methods block; many threads may call it.
 *
 * @param key sent as a bearer token; null for none
 */
record Target(HttpClient client, URI root, String key, Duration timeout) {
    private static final ObjectMapper JSON = new ObjectMapper();

    /** One model of the server's list. {@code parent} is null for a base. */
    record Model(String id, String parent) {}

    /** The server's models; empty if it does not list them. */
    List<Model> models() throws IOException, InterruptedException {
        HttpResponse<String> answer = client.send(request("/v1/models").GET().build(), HttpResponse.BodyHandlers.ofString());
        if (answer.statusCode() != 200) {
            throw new IOException("/v1/models answers " + answer.statusCode() + ": " + start(answer.body()));
        }
        List<Model> models = new ArrayList<>();
        for (JsonNode model : JSON.readTree(answer.body()).path("data")) {
            models.add(new Model(model.path("id").asText(), model.path("parent").textValue()));
        }
        return models;
    }

    static ObjectNode body(String model, String prompt, int newTokens) {
        ObjectNode body = JSON.createObjectNode();
        body.put("model", model).put("prompt", prompt).put("max_tokens", newTokens).put("temperature", 0).put("stream", true);
        // Lengths as asked for, and no answer from a cache: else two servers would not do the same work.
        body.put("ignore_eos", true).put("cache_prompt", false).putObject("stream_options").put("include_usage", true);
        return body;
    }

    /** Sends one streaming completion and reads it to its end. */
    Sample complete(ObjectNode body) throws InterruptedException {
        long start = System.nanoTime();
        try {
            HttpRequest request = request("/v1/completions").header("Content-Type", "application/json")
                    .POST(HttpRequest.BodyPublishers.ofByteArray(JSON.writeValueAsBytes(body))).build();
            HttpResponse<InputStream> answer = client.send(request, HttpResponse.BodyHandlers.ofInputStream());
            try (InputStream stream = answer.body()) {
                if (answer.statusCode() != 200) {
                    return Sample.failed(answer.statusCode() + ": " + start(new String(stream.readNBytes(4096), StandardCharsets.UTF_8)));
                }
                return read(new BufferedReader(new InputStreamReader(stream, StandardCharsets.UTF_8)), start);
            }
        } catch (IOException e) {
            return Sample.failed(e.getClass().getSimpleName() + (e.getMessage() == null ? "" : ": " + e.getMessage()));
        }
    }

    /** Server-sent events whose data are completion chunks, up to {@code [DONE]}. Token counts are the server's, where it reports them. */
    static Sample read(BufferedReader events, long start) throws IOException {
        long first = 0;
        long last = 0;
        int tokens = 0;
        int reported = -1;
        for (String line = events.readLine(); line != null; line = events.readLine()) {
            if (!line.startsWith("data:")) {
                continue;
            }
            String data = line.substring(5).strip();
            if (data.equals("[DONE]")) {
                return first == 0 ? Sample.failed("an answer without a token") : new Sample(first - start, last - start, reported < 0 ? tokens : reported, null);
            }
            JsonNode chunk = JSON.readTree(data);
            if (chunk.has("error")) {
                return Sample.failed(start(chunk.get("error").toString()));
            }
            if (!chunk.path("choices").isEmpty()) {
                last = System.nanoTime();
                first = first == 0 ? last : first;
                tokens++;
            }
            reported = chunk.path("usage").path("completion_tokens").asInt(reported);
        }
        return Sample.failed("the stream ended without [DONE] after " + tokens + " chunks");
    }

    private HttpRequest.Builder request(String path) {
        HttpRequest.Builder request = HttpRequest.newBuilder(root.resolve(path)).timeout(timeout);
        return key == null ? request : request.header("Authorization", "Bearer " + key);
    }

    private static String start(String text) {
        String line = text.strip().replaceAll("\\s+", " ");
        return line.length() <= 200 ? line : line.substring(0, 200) + "...";
    }
}
