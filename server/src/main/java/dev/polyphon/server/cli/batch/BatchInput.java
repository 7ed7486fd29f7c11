package dev.polyphon.server.cli.batch;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.IOException;
import java.nio.charset.CharacterCodingException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/**
 * The requests of a batch, a JSON object on each line: {@code {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {...}}}. The file
 * is read twice, once to check all of it before anything is sent, and never held whole.
 *
 * @see <a href="https://platform.openai.com/docs/api-reference/batch/request-input">OpenAI: the request input object</a>
 */
public final class BatchInput implements AutoCloseable {
    static final Set<String> URLS = Set.of("/v1/chat/completions", "/v1/completions", "/v1/embeddings");
    private static final int TOLD = 10;
    private static final ObjectReader JSON = JsonMapper.builder().enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS).build().reader();

    /**
     * One request.
     *
     * @param customId what its answer is found by
     * @param url the path, one of three
     */
    record Line(String customId, String url, ObjectNode body) {}

    private final Path file;
    private final Set<String> ids = new HashSet<>();
    private final BufferedReader reader;
    private int number;

    private BatchInput(Path file) throws IOException {
        this.file = file;
        check();
        reader = Files.newBufferedReader(file);
    }

    /** @throws IOException when the file cannot be read, or has lines that are no requests, which the message names */
    public static BatchInput open(Path file) throws IOException {
        try {
            return new BatchInput(file);
        } catch (NoSuchFileException e) {
            throw new IOException("no such file: " + file, e);
        } catch (CharacterCodingException e) {
            throw new IOException(file + " is not UTF-8", e);
        }
    }

    private void check() throws IOException {
        List<String> wrong = new ArrayList<>();
        int count = 0;
        try (BufferedReader lines = Files.newBufferedReader(file)) {
            int at = 0;
            for (String text = lines.readLine(); text != null; text = lines.readLine()) {
                at++;
                if (text.isBlank()) {
                    continue;
                }
                try {
                    String id = parse(text).customId;
                    if (!ids.add(id)) {
                        throw new IOException("the custom_id '" + id + "' was there before");
                    }
                } catch (IOException e) {
                    count++;
                    if (wrong.size() < TOLD) {
                        wrong.add(file + ":" + at + ": " + (e instanceof JsonProcessingException json ? "no JSON: " + json.getOriginalMessage() : e.getMessage()));
                    }
                }
            }
        }
        if (count > TOLD) {
            wrong.add("and " + (count - TOLD) + " more");
        }
        if (count > 0) {
            throw new IOException(String.join(System.lineSeparator(), wrong));
        }
        if (ids.isEmpty()) {
            throw new IOException(file + " has no requests");
        }
    }

    private static Line parse(String text) throws IOException {
        JsonNode line = JSON.readTree(text);
        if (!line.path("custom_id").isTextual() || line.path("custom_id").asText().isEmpty()) {
            throw new IOException("'custom_id' must be a text that is not empty");
        }
        if (!line.path("method").asText().equals("POST")) {
            throw new IOException("'method' must be POST");
        }
        String url = line.path("url").asText();
        if (!URLS.contains(url)) {
            throw new IOException("'url' must be one of " + String.join(", ", URLS.stream().sorted().toList()) + ", found '" + url + "'");
        }
        if (!(line.path("body") instanceof ObjectNode body)) {
            throw new IOException("'body' must be an object");
        }
        if (body.path("stream").asBoolean()) {
            throw new IOException("'body' must not ask for a stream");
        }
        return new Line(line.path("custom_id").asText(), url, body);
    }

    /** All requests' ids. */
    public Set<String> ids() {
        return ids;
    }

    /** The next request; null after the last. For one thread at a time. */
    Line next() throws IOException {
        for (String text = reader.readLine(); text != null; text = reader.readLine()) {
            number++;
            if (!text.isBlank()) {
                try {
                    return parse(text);
                } catch (IOException e) {
                    throw new IOException(file + ":" + number + " has changed: " + e.getMessage(), e);
                }
            }
        }
        return null;
    }

    @Override
    public void close() throws IOException {
        reader.close();
    }
}
