package dev.polyphon.engine.model;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.polyphon.engine.weights.MalformedFileException;
import java.io.CharConversionException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** Typed access to a {@code config.json}; every complaint names the file and the key. */
public final class ModelConfig {
    private static final ObjectMapper JSON = new ObjectMapper();

    private final Path file;
    /** Path of keys to this object, with a dot at its end; empty for the whole file. */
    private final String prefix;
    private final JsonNode node;

    /** @param file what messages name */
    public ModelConfig(Path file, JsonNode node) {
        this(file, "", node);
    }

    private ModelConfig(Path file, String prefix, JsonNode node) {
        this.file = file;
        this.prefix = prefix;
        this.node = node;
    }

    public static ModelConfig read(Path file) throws IOException {
        try {
            JsonNode node = JSON.readTree(Files.readAllBytes(file));
            if (node == null || !node.isObject()) {
                throw new MalformedFileException(file, "not a JSON object");
            }
            return new ModelConfig(file, node);
        } catch (JsonProcessingException e) {
            throw new MalformedFileException(file, e.getOriginalMessage());
        } catch (CharConversionException e) {
            throw new MalformedFileException(file, e.getMessage(), e);
        }
    }

    public boolean has(String key) {
        return node.hasNonNull(key);
    }

    /** The object under a key; an empty one when it is absent. */
    public ModelConfig object(String key) {
        return new ModelConfig(file, prefix + key + ".", node.path(key));
    }

    public JsonNode json(String key) {
        return node.path(key);
    }

    public int integer(String key) throws MalformedFileException {
        JsonNode v = node.path(key);
        if (!v.isNumber() || v.doubleValue() != v.intValue()) {
            throw wrong(key, "an integer", v);
        }
        return v.intValue();
    }

    public int integer(String key, int absent) throws MalformedFileException {
        return has(key) ? integer(key) : absent;
    }

    public double number(String key) throws MalformedFileException {
        JsonNode v = node.path(key);
        if (!v.isNumber()) {
            throw wrong(key, "a number", v);
        }
        return v.doubleValue();
    }

    public double number(String key, double absent) throws MalformedFileException {
        return has(key) ? number(key) : absent;
    }

    public boolean bool(String key, boolean absent) throws MalformedFileException {
        if (!has(key)) {
            return absent;
        }
        JsonNode v = node.path(key);
        if (!v.isBoolean()) {
            throw wrong(key, "true or false", v);
        }
        return v.booleanValue();
    }

    public String string(String key) throws MalformedFileException {
        JsonNode v = node.path(key);
        if (!v.isTextual()) {
            throw wrong(key, "a string", v);
        }
        return v.textValue();
    }

    public String string(String key, String absent) throws MalformedFileException {
        return has(key) ? string(key) : absent;
    }

    /** An error about this file. */
    public MalformedFileException error(String message) {
        return new MalformedFileException(file, message);
    }

    private MalformedFileException wrong(String key, String wanted, JsonNode found) {
        return error(prefix + key + " must be " + wanted + ", found " + (found.isMissingNode() ? "nothing" : found));
    }
}
