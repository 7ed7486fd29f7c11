package dev.polyphon.server.config;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.net.URI;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.Function;

/** The keys under one name. Each method reads one key, or gives its default when it is set nowhere. */
final class Section {
    private final Sources sources;
    private final String path;
    private final ObjectNode file;

    Section(Sources sources, String path, ObjectNode file) {
        this.sources = sources;
        this.path = path;
        this.file = file;
    }

    Section section(String name) {
        JsonNode below = file.get(name);
        if (below == null || below.isNull()) {
            return new Section(sources, path + name + ".", JsonNodeFactory.instance.objectNode());
        }
        if (below instanceof ObjectNode object) {
            return new Section(sources, path + name + ".", object);
        }
        throw wrong(path + name, new Sources.Found(below, sources.inFile()), "a mapping of keys");
    }

    int integer(String key, int standard, int min, int max) {
        String allowed = "a whole number from " + min + " to " + max;
        return read(key, standard, allowed, value ->
                value.isIntegralNumber() && value.canConvertToInt() && value.intValue() >= min && value.intValue() <= max
                        ? Optional.of(value.intValue())
                        : Optional.empty());
    }

    /** An amount of memory or data. */
    long bytes(String key, long standard, long min, long max) {
        String allowed = "an amount from " + Quantity.text(min) + " to " + Quantity.text(max) + ", for example 64KiB, 4MiB or 1.5GiB";
        return read(key, standard, allowed, value ->
                value.isTextual() || value.isNumber() ? Quantity.bytes(value.asText()).filter(n -> n >= min && n <= max) : Optional.empty());
    }

    Duration duration(String key, Duration standard, Duration min, Duration max) {
        String allowed = "a time from " + Quantity.text(min) + " to " + Quantity.text(max) + ", for example 500ms, 30s or 2m";
        return read(key, standard, allowed, value -> value.isTextual()
                ? Quantity.duration(value.textValue()).filter(d -> d.compareTo(min) >= 0 && d.compareTo(max) <= 0)
                : Optional.empty());
    }

    boolean flag(String key, boolean standard) {
        return read(key, standard, "true or false", value -> value.isBoolean() ? Optional.of(value.booleanValue()) : Optional.empty());
    }

    /** A text; null in the file stands for the empty one. */
    String text(String key, String standard) {
        return read(key, standard, true, "a text", value ->
                value.isNull() ? Optional.of("") : value.isValueNode() ? Optional.of(value.asText()) : Optional.empty());
    }

    /** A text or, where it is empty, what a variable of the environment says by which others' tools know it; null when that says nothing either. */
    String textOr(String key, String environment) {
        String set = text(key, "");
        String found = set.isEmpty() ? System.getenv(environment) : set;
        return found == null || found.isEmpty() ? null : found;
    }

    /** What {@code text} says is a key's address; null when it is null or empty. */
    URI address(String key, String text) {
        if (text == null || text.isEmpty()) {
            return null;
        }
        try {
            URI address = URI.create(text);
            if (address.getHost() != null && address.getScheme() != null && address.getScheme().matches("https?")) {
                return address;
            }
        } catch (IllegalArgumentException e) {
            // Told below.
        }
        throw new ConfigException(path + key + " must be an address like https://HOST, found '" + text + "'");
    }

    String oneOf(String key, String standard, List<String> words) {
        return read(key, standard, "one of " + String.join(", ", words), value ->
                value.isTextual() && words.contains(value.textValue()) ? Optional.of(value.textValue()) : Optional.empty());
    }

    /** One or more words out of those there are. */
    List<String> someOf(String key, List<String> standard, List<String> words) {
        return read(key, standard, "a list of some of " + String.join(", ", words), value -> {
            var some = new ArrayList<String>();
            value.forEach(element -> some.add(element.asText()));
            return value.isArray() && !some.isEmpty() && words.containsAll(some) ? Optional.of(List.copyOf(some)) : Optional.empty();
        });
    }

    /** Origins of pages as browsers send them (RFC 6454, section 6.2), or the star. */
    List<String> origins(String key) {
        return read(key, List.of(), "a list of origins like https://HOST or https://HOST:PORT, or [\"*\"]", value -> {
            var origins = new ArrayList<String>();
            value.forEach(element -> origins.add(element.asText()));
            return value.isArray() && origins.stream().allMatch(origin -> origin.equals("*") || origin.matches("[a-z][a-z0-9+.-]*://[^/\\s]+"))
                    ? Optional.of(List.copyOf(origins)) : Optional.empty();
        });
    }

    List<Path> paths(String key) {
        return read(key, List.of(), "a list of folders", value -> {
            if (!value.isArray()) {
                return Optional.empty();
            }
            var paths = new ArrayList<Path>();
            for (JsonNode element : value) {
                try {
                    if (!element.isTextual()) {
                        return Optional.empty();
                    }
                    paths.add(Path.of(element.textValue()));
                } catch (InvalidPathException e) {
                    return Optional.empty();
                }
            }
            return Optional.of(List.copyOf(paths));
        });
    }

    private <T> T read(String key, T standard, String allowed, Function<JsonNode, Optional<T>> reader) {
        return read(key, standard, false, allowed, reader);
    }

    private <T> T read(String key, T standard, boolean literal, String allowed, Function<JsonNode, Optional<T>> reader) {
        var found = sources.override(path + key, literal);
        if (found.isEmpty() && file.has(key)) {
            found = Optional.of(new Sources.Found(file.get(key), sources.inFile()));
        }
        return found.map(f -> reader.apply(f.value()).orElseThrow(() -> wrong(path + key, f, allowed))).orElse(standard);
    }

    private static ConfigException wrong(String key, Sources.Found found, String allowed) {
        return new ConfigException(key + " must be " + allowed + ", found " + describe(found.value()) + " " + found.where());
    }

    static String describe(JsonNode value) {
        return switch (value.getNodeType()) {
            case NULL, MISSING -> "nothing";
            case OBJECT -> "a mapping";
            case ARRAY -> "the list " + value;
            default -> "'" + value.asText() + "'";
        };
    }
}
