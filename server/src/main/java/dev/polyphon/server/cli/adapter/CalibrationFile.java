package dev.polyphon.server.cli.adapter;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.polyphon.runtime.Prompt;
import dev.polyphon.server.admin.OperationJson;
import dev.polyphon.server.openai.ApiException;
import java.io.IOException;
import java.nio.charset.MalformedInputException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** Texts to run a base on: one a line or, in a file that ends in {@code .jsonl}, an object a line with {@code text} or {@code prompt}. Blank lines are skipped. */
final class CalibrationFile {
    private static final ObjectMapper JSON = new ObjectMapper();

    private CalibrationFile() {}

    /** @throws IOException with the file's name and the line's number */
    static List<Prompt> read(Path file) throws IOException {
        boolean json = file.toString().toLowerCase(Locale.ROOT).endsWith(".jsonl");
        List<Prompt> texts = new ArrayList<>();
        List<String> lines = lines(file);
        for (int i = 0; i < lines.size(); i++) {
            if (!lines.get(i).isBlank()) {
                texts.add(json ? prompt(lines.get(i), file + ", line " + (i + 1)) : new Prompt.Text(lines.get(i), true));
            }
        }
        if (texts.isEmpty()) {
            throw new IOException(file + " holds no texts");
        }
        return texts;
    }

    private static List<String> lines(Path file) throws IOException {
        try {
            return Files.readAllLines(file);
        } catch (NoSuchFileException e) {
            throw new IOException("there is no file " + file, e);
        } catch (MalformedInputException e) {
            throw new IOException(file + " is no text in UTF-8", e);
        }
    }

    private static Prompt prompt(String line, String where) throws IOException {
        try {
            JsonNode object = JSON.readTree(line);
            JsonNode text = object.has("text") ? object.get("text") : object.path("prompt");
            if (text.isMissingNode()) {
                throw new IOException(where + ": expected an object with the field text or prompt");
            }
            return OperationJson.prompt(object.has("text") ? "text" : "prompt", text);
        } catch (JsonProcessingException e) {
            throw new IOException(where + ": " + e.getOriginalMessage(), e);
        } catch (ApiException e) {
            throw new IOException(where + ": " + e.error().message(), e);
        }
    }
}
