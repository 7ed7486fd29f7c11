package dev.polyphon.server.openai;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.BiFunction;

/**
 * The fields of a JSON object, read by type and limit. A field that is absent or null has its default; any other that is not as it should
 * be ends in an {@link ApiException} that names the field, the limit and what was found.
 */
public final class Fields {
    private final ObjectNode node;
    private final String path;

    public Fields(ObjectNode node) {
        this(node, "");
    }

    private Fields(ObjectNode node, String path) {
        this.node = node;
        this.path = path;
    }

    /** The value of a field that is there and not null. */
    public Optional<JsonNode> get(String name) {
        JsonNode value = node.get(name);
        return value == null || value.isNull() ? Optional.empty() : Optional.of(value);
    }

    String path(String name) {
        return path + name;
    }

    /** The same fields, of which there may be no others than these. */
    public Fields only(Set<String> known) {
        node.fieldNames().forEachRemaining(field -> {
            if (!known.contains(field)) {
                throw ApiException.invalid(path(field), "unknown_parameter", "Unknown parameter: '" + path(field) + "'. There are: "
                        + String.join(", ", new TreeSet<>(known)) + ".");
            }
        });
        return this;
    }

    public boolean flag(String name, boolean absent) {
        return get(name).map(value -> {
            if (!value.isBoolean()) {
                throw wrongType(path(name), "a boolean", value);
            }
            return value.booleanValue();
        }).orElse(absent);
    }

    /** A string, or null when absent. */
    public String text(String name) {
        return get(name).map(value -> text(path(name), value)).orElse(null);
    }

    public String requiredText(String name) {
        return get(name).map(value -> text(path(name), value)).orElseThrow(() -> missing(path(name)));
    }

    float number(String name, double absent, double min, double max) {
        return (float) decimal(name, absent, min, max);
    }

    public double decimal(String name, double absent, double min, double max) {
        return get(name).map(value -> decimal(path(name), value, min, max)).orElse(absent);
    }

    public int integer(String name, int absent, int min, int max) {
        return (int) integer(name, (long) absent, min, max);
    }

    public long integer(String name, long absent, long min, long max) {
        return get(name).map(value -> integer(path(name), value, min, max)).orElse(absent);
    }

    /** An object, if there is one. */
    public Optional<Fields> object(String name) {
        return get(name).map(value -> object(path(name), value));
    }

    /** An array's elements, each read with its own path; empty when absent. */
    public <T> List<T> list(String name, int maxLength, BiFunction<String, JsonNode, T> element) {
        return get(name).map(value -> list(path(name), value, maxLength, element)).orElse(List.of());
    }

    static <T> List<T> list(String path, JsonNode value, int maxLength, BiFunction<String, JsonNode, T> element) {
        if (!value.isArray()) {
            throw wrongType(path, "an array", value);
        }
        if (value.size() > maxLength) {
            throw ApiException.invalid(path, "array_above_max_length", "Invalid '" + path + "': array too long. Expected an array with maximum "
                    + "length " + maxLength + ", but got an array with length " + value.size() + " instead.");
        }
        var result = new ArrayList<T>(value.size());
        for (int i = 0; i < value.size(); i++) {
            result.add(element.apply(path + "[" + i + "]", value.get(i)));
        }
        return result;
    }

    public static Fields object(String path, JsonNode value) {
        if (value instanceof ObjectNode object) {
            return new Fields(object, path + ".");
        }
        throw wrongType(path, "an object", value);
    }

    public static String text(String path, JsonNode value) {
        if (!value.isTextual()) {
            throw wrongType(path, "a string", value);
        }
        return value.textValue();
    }

    public static long integer(String path, JsonNode value, long min, long max) {
        if (!value.isNumber() || !value.isIntegralNumber() && value.doubleValue() != Math.rint(value.doubleValue())) {
            throw wrongType(path, "an integer", value);
        }
        if (!value.canConvertToLong() || value.longValue() < min || value.longValue() > max) {
            throw outside(path, "integer", value, value.doubleValue() < min, min, max);
        }
        return value.longValue();
    }

    static float number(String path, JsonNode value, double min, double max) {
        return (float) decimal(path, value, min, max);
    }

    public static double decimal(String path, JsonNode value, double min, double max) {
        if (!value.isNumber()) {
            throw wrongType(path, "a number", value);
        }
        double number = value.doubleValue();
        if (!(number >= min && number <= max)) {
            throw outside(path, "decimal", value, number < min, min, max);
        }
        return number;
    }

    private static ApiException outside(String path, String kind, JsonNode value, boolean below, Number min, Number max) {
        String code = kind + (below ? "_below_min_value" : "_above_max_value");
        String limit = (below ? " below minimum value. Expected a value >= " : " above maximum value. Expected a value <= ") + plain(below ? min : max);
        return ApiException.invalid(path, code, "Invalid '" + path + "': " + kind + limit + ", but got " + value.asText() + " instead.");
    }

    private static String plain(Number limit) {
        return limit.doubleValue() == limit.longValue() ? Long.toString(limit.longValue()) : limit.toString();
    }

    public static ApiException missing(String path) {
        return ApiException.invalid(path, "missing_required_parameter", "Missing required parameter: '" + path + "'.");
    }

    public static ApiException wrongType(String path, String expected, JsonNode found) {
        return ApiException.invalid(path, "invalid_type", "Invalid type for '" + path + "': expected " + expected + ", but got " + kind(found)
                + " instead.");
    }

    /** What a value is, in words. */
    public static String kind(JsonNode value) {
        return switch (value.getNodeType()) {
            case ARRAY -> "an array";
            case BOOLEAN -> "a boolean";
            case NUMBER -> value.isIntegralNumber() ? "an integer" : "a decimal";
            case OBJECT -> "an object";
            case STRING -> "a string";
            case NULL, MISSING -> "null";
            case BINARY, POJO -> "something else";
        };
    }
}
