package dev.polyphon.engine.sample.grammar;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.math.RoundingMode;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.StreamSupport;

/**
 * Reads JSON Schemas (draft 2020-12). All that is let through is valid; a keyword that could not be held to is refused by name. Of what is valid, one
 * form is let through: properties in the schema's order, properties that the schema does not name only where {@code additionalProperties} says so or no
 * property is named, and strings under {@code pattern} or {@code format} without needless escapes.
 */
final class JsonSchema {
    private static final ObjectMapper MAPPER = JsonMapper.builder().enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION).build();
    private static final List<String> TYPES = List.of("object", "array", "string", "number", "integer", "boolean", "null");
    private static final Set<String> REFUSED = Set.of("not", "if", "then", "else", "patternProperties", "propertyNames", "dependentRequired",
            "dependentSchemas", "dependencies", "unevaluatedProperties", "unevaluatedItems", "contains", "minContains", "maxContains", "$dynamicRef",
            "$recursiveRef", "multipleOf", "additionalItems");
    private static final Set<String> ASSERTIONS = Set.of("type", "enum", "const", "anyOf", "oneOf", "allOf", "$ref", "properties", "required",
            "additionalProperties", "minProperties", "maxProperties", "items", "prefixItems", "minItems", "maxItems", "uniqueItems", "minLength",
            "maxLength", "pattern", "format", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum");
    private static final int MAX_DEPTH = 100;

    private final JsonNode document;
    private final RuleSet rules = new RuleSet();

    private JsonSchema(JsonNode document) {
        this.document = document;
    }

    static RuleSet read(String text) {
        JsonNode document;
        try {
            document = MAPPER.readTree(text);
        } catch (JsonProcessingException e) {
            throw new GrammarException("the JSON schema is not JSON: " + e.getOriginalMessage());
        }
        var schema = new JsonSchema(document);
        schema.rules.root(schema.value(document, "#", 0));
        return schema.rules;
    }

    private Expr value(JsonNode node, String path, int depth) {
        if (depth > MAX_DEPTH) {
            throw new GrammarException("the JSON schema is nested too deeply: at most " + MAX_DEPTH + " levels are allowed");
        }
        if (node.isBoolean()) {
            return node.booleanValue() ? JsonText.value(rules) : Expr.NEVER;
        }
        if (!(node instanceof ObjectNode schema)) {
            throw error(path, "a schema must be an object, true or false");
        }
        for (String key : REFUSED) {
            if (schema.has(key)) {
                throw error(path, "the keyword '" + key + "' is not supported");
            }
        }
        if (schema.has("$ref")) {
            return reference(schema, path, depth);
        }
        if (schema.has("allOf")) {
            return value(merged(schema, path), path, depth + 1);
        }
        if (schema.has("const") || schema.has("enum")) {
            return literals(schema, path);
        }
        for (String key : List.of("anyOf", "oneOf")) {
            if (schema.has(key)) {
                return options(schema, key, path, depth);
            }
        }
        return Expr.alt(types(schema, path).stream().map(type -> ofType(type, schema, path, depth)).toArray(Expr[]::new));
    }

    private Expr reference(ObjectNode schema, String path, int depth) {
        String ref = schema.get("$ref").asText();
        if (!ref.startsWith("#")) {
            throw error(path, "the reference '" + ref + "' does not point into this schema");
        }
        JsonNode target = document.at(pointer(ref.substring(1)));
        if (target.isMissingNode()) {
            throw error(path, "the reference '" + ref + "' points to nothing");
        }
        List<String> beside = assertions(schema);
        beside.remove("$ref");
        if (!beside.isEmpty()) {
            var both = MAPPER.createObjectNode();
            var own = schema.deepCopy();
            own.remove("$ref");
            both.putArray("allOf").add(own).add(target);
            return value(both, path, depth + 1);
        }
        String rule = "schema " + ref;
        if (!rules.has(rule)) {
            rules.define(rule, Expr.NEVER);
            rules.define(rule, value(target, ref, depth + 1));
        }
        return new Expr.Ref(rule);
    }

    private String pointer(String fragment) {
        String pointer = java.net.URLDecoder.decode(fragment.replace("+", "%2B"), java.nio.charset.StandardCharsets.UTF_8);
        if (!pointer.isEmpty() && !pointer.startsWith("/")) {
            throw new GrammarException("the JSON schema refers to '#" + fragment + "': only '#' and '#/...' are supported");
        }
        return pointer;
    }

    private static List<String> assertions(ObjectNode schema) {
        var found = new ArrayList<String>();
        schema.fieldNames().forEachRemaining(name -> {
            if (ASSERTIONS.contains(name)) {
                found.add(name);
            }
        });
        return found;
    }

    /** One schema that asserts what all of several do, where keywords do not meet in a way that needs thought. */
    private ObjectNode merged(ObjectNode schema, String path) {
        var result = schema.deepCopy();
        JsonNode parts = result.remove("allOf");
        for (JsonNode part : parts) {
            JsonNode resolved = part;
            for (int hops = 0; resolved.has("$ref") && assertions((ObjectNode) resolved).size() == 1; hops++) {
                if (hops > MAX_DEPTH) {
                    throw error(path, "'allOf' refers to itself");
                }
                resolved = document.at(pointer(resolved.get("$ref").asText().replaceFirst("^#", "")));
            }
            if (resolved.isBoolean() && resolved.booleanValue()) {
                continue;
            }
            if (!(resolved instanceof ObjectNode object)) {
                throw error(path, "'allOf' has a part that is no object");
            }
            if (object.has("allOf")) {
                object = merged(object, path);
            }
            for (Map.Entry<String, JsonNode> entry : object.properties()) {
                merge(result, entry.getKey(), entry.getValue(), path);
            }
        }
        return result;
    }

    private static void merge(ObjectNode into, String key, JsonNode value, String path) {
        JsonNode own = into.get(key);
        if (own == null) {
            into.set(key, value);
        } else if (key.equals("required")) {
            var names = new LinkedHashSet<String>();
            own.forEach(name -> names.add(name.asText()));
            value.forEach(name -> names.add(name.asText()));
            var all = into.putArray(key);
            names.forEach(all::add);
        } else if (key.equals("properties") && own instanceof ObjectNode properties) {
            for (Map.Entry<String, JsonNode> entry : value.properties()) {
                JsonNode before = properties.get(entry.getKey());
                if (before == null || before.equals(entry.getValue())) {
                    properties.set(entry.getKey(), entry.getValue());
                } else {
                    var both = MAPPER.createObjectNode();
                    both.putArray("allOf").add(before).add(entry.getValue());
                    properties.set(entry.getKey(), both);
                }
            }
        } else if ((ASSERTIONS.contains(key) || REFUSED.contains(key)) && !own.equals(value)) {
            throw error(path, "'allOf' says '" + key + "' in two ways, which is not supported");
        }
    }

    private Expr literals(ObjectNode schema, String path) {
        List<String> beside = assertions(schema);
        beside.removeAll(List.of("const", "enum", "type"));
        if (!beside.isEmpty()) {
            throw error(path, "'" + beside.getFirst() + "' beside 'enum' or 'const' is not supported");
        }
        List<String> types = types(schema, path);
        var allowed = new ArrayList<JsonNode>();
        if (schema.has("enum")) {
            if (!schema.get("enum").isArray()) {
                throw error(path, "'enum' must be an array");
            }
            schema.get("enum").forEach(allowed::add);
        } else {
            allowed.add(schema.get("const"));
        }
        if (schema.has("enum") && schema.has("const")) {
            allowed.removeIf(node -> !node.equals(schema.get("const")));
        }
        return Expr.alt(allowed.stream().filter(node -> types.stream().anyMatch(type -> is(type, node))).map(JsonSchema::literal).toArray(Expr[]::new));
    }

    private static boolean is(String type, JsonNode node) {
        return switch (type) {
            case "object" -> node.isObject();
            case "array" -> node.isArray();
            case "string" -> node.isTextual();
            case "number" -> node.isNumber();
            case "integer" -> node.isIntegralNumber() || node.isNumber() && node.decimalValue().stripTrailingZeros().scale() <= 0;
            case "boolean" -> node.isBoolean();
            default -> node.isNull();
        };
    }

    /** A value in its compact form, or with the usual blanks. */
    private static Expr literal(JsonNode node) {
        if (node.isArray() || node.isObject()) {
            var parts = new ArrayList<Expr>();
            if (node.isArray()) {
                node.forEach(item -> parts.add(parts.isEmpty() ? literal(item) : JsonText.then(literal(item))));
            } else {
                node.properties().forEach(entry -> {
                    Expr member = JsonText.member(string(entry.getKey()), literal(entry.getValue()));
                    parts.add(parts.isEmpty() ? member : JsonText.then(member));
                });
            }
            parts.add(JsonText.SPACE);
            return JsonText.bracketed(node.isArray() ? '[' : '{', parts.size() == 1 ? Expr.EMPTY : new Expr.Seq(parts), node.isArray() ? ']' : '}');
        }
        return node.isTextual() ? string(node.textValue()) : Expr.text(node.toString());
    }

    private static Expr string(String text) {
        return Expr.seq(JsonText.QUOTE, JsonText.escaped(Expr.text(text)), JsonText.QUOTE);
    }

    private Expr options(ObjectNode schema, String key, String path, int depth) {
        JsonNode list = schema.get(key);
        if (!list.isArray() || list.isEmpty()) {
            throw error(path, "'" + key + "' must be an array with at least one schema");
        }
        if (key.equals("oneOf") && !Disjoint.all(list, this::resolved)) {
            throw error(path, "'oneOf' is supported where no value can match two of its schemas, by type or by the constant of a required property;"
                    + " use 'anyOf' where that does not matter");
        }
        var own = schema.deepCopy();
        own.remove(key);
        boolean alone = assertions(own).isEmpty();
        var options = new ArrayList<Expr>();
        for (int i = 0; i < list.size(); i++) {
            JsonNode option = list.get(i);
            String at = path + "/" + key + "/" + i;
            if (!alone) {
                var both = MAPPER.createObjectNode();
                both.putArray("allOf").add(own).add(option);
                option = both;
            }
            options.add(value(option, at, depth + 1));
        }
        return new Expr.Alt(options);
    }

    private JsonNode resolved(JsonNode schema) {
        JsonNode at = schema;
        for (int hops = 0; at.path("$ref").isTextual() && hops < MAX_DEPTH; hops++) {
            at = document.at(pointer(at.get("$ref").textValue().replaceFirst("^#", "")));
        }
        return at;
    }

    private static List<String> types(ObjectNode schema, String path) {
        JsonNode type = schema.get("type");
        if (type == null) {
            // Nearly always what is meant by a schema that speaks of one type's keywords and leaves the type out.
            return schema.has("properties") || schema.has("required") ? List.of("object")
                    : schema.has("items") || schema.has("prefixItems") ? List.of("array")
                    : TYPES.stream().filter(t -> !t.equals("integer")).toList();
        }
        List<String> named = type.isArray() ? StreamSupport.stream(type.spliterator(), false).map(JsonNode::asText).toList() : List.of(type.asText());
        for (String name : named) {
            if (!TYPES.contains(name)) {
                throw error(path, "'" + name + "' is no type; types are " + String.join(", ", TYPES));
            }
        }
        return named.contains("number") ? named.stream().filter(t -> !t.equals("integer")).toList() : named.stream().distinct().toList();
    }

    private Expr ofType(String type, ObjectNode schema, String path, int depth) {
        return switch (type) {
            case "object" -> object(schema, path, depth);
            case "array" -> array(schema, path, depth);
            case "string" -> string(schema, path);
            case "number" -> number(schema, path);
            case "integer" -> Integers.between(bound(schema, path, "minimum", "exclusiveMinimum", true), bound(schema, path, "maximum", "exclusiveMaximum", false));
            case "boolean" -> JsonText.BOOLEAN;
            default -> JsonText.NULL;
        };
    }

    private static Expr number(ObjectNode schema, String path) {
        BigDecimal min = decimal(schema, path, "minimum");
        BigDecimal above = decimal(schema, path, "exclusiveMinimum");
        BigDecimal max = decimal(schema, path, "maximum");
        BigDecimal below = decimal(schema, path, "exclusiveMaximum");
        if (min == null && max == null && above == null && below == null) {
            return JsonText.NUMBER;
        }
        boolean openLow = above != null && (min == null || above.compareTo(min) >= 0);
        boolean openHigh = below != null && (max == null || below.compareTo(max) <= 0);
        return Decimals.between(openLow ? above : min, openLow, openHigh ? below : max, openHigh);
    }

    /** The bound as an integer that belongs to the range. */
    private static BigInteger bound(ObjectNode schema, String path, String inclusive, String exclusive, boolean lower) {
        BigInteger bound = null;
        BigDecimal with = decimal(schema, path, inclusive);
        if (with != null) {
            bound = with.setScale(0, lower ? RoundingMode.CEILING : RoundingMode.FLOOR).toBigIntegerExact();
        }
        BigDecimal without = decimal(schema, path, exclusive);
        if (without != null) {
            BigInteger next = lower
                    ? without.setScale(0, RoundingMode.FLOOR).toBigIntegerExact().add(BigInteger.ONE)
                    : without.setScale(0, RoundingMode.CEILING).toBigIntegerExact().subtract(BigInteger.ONE);
            bound = bound == null ? next : lower ? bound.max(next) : bound.min(next);
        }
        return bound;
    }

    private static BigDecimal decimal(ObjectNode schema, String path, String key) {
        JsonNode value = schema.get(key);
        if (value == null) {
            return null;
        }
        if (!value.isNumber()) {
            throw error(path, "'" + key + "' must be a number");
        }
        BigDecimal bound = value.decimalValue();
        if (Math.abs((long) bound.precision() - bound.scale()) > 30 || bound.scale() > 30) {
            throw error(path, "'" + key + "' has more than 30 digits");
        }
        return bound;
    }

    private static Expr string(ObjectNode schema, String path) {
        int min = count(schema, path, "minLength", 0);
        int max = count(schema, path, "maxLength", -1);
        Expr pattern = schema.has("pattern") ? Regex.within(schema.get("pattern").asText()) : null;
        Expr format = schema.has("format") ? Formats.of(schema.get("format").asText()) : null;
        if (pattern != null && (min > 0 || max >= 0 || format != null) || format != null && (min > 0 || max >= 0)) {
            throw error(path, "of 'pattern', 'format' and the two lengths only one is supported at once");
        }
        Expr text = pattern != null ? JsonText.escaped(pattern) : format != null ? JsonText.escaped(format) : new Expr.Repeat(JsonText.CHARACTER, min, max);
        return Expr.seq(JsonText.QUOTE, text, JsonText.QUOTE);
    }

    private Expr array(ObjectNode schema, String path, int depth) {
        if (schema.path("uniqueItems").asBoolean(false)) {
            throw error(path, "'uniqueItems' is not supported");
        }
        int min = count(schema, path, "minItems", 0);
        int max = count(schema, path, "maxItems", -1);
        var first = new ArrayList<Expr>();
        JsonNode prefix = schema.path("prefixItems");
        for (int i = 0; i < prefix.size(); i++) {
            first.add(shared(value(prefix.get(i), path + "/prefixItems/" + i, depth + 1)));
        }
        JsonNode items = schema.get("items");
        Expr rest = items == null ? JsonText.value(rules) : shared(value(items, path + "/items", depth + 1));
        if (items != null && items.isBoolean() && !items.booleanValue()) {
            max = max < 0 ? first.size() : Math.min(max, first.size());
        }
        if (max >= 0 && max < min) {
            return Expr.NEVER;
        }
        return JsonText.bracketed('[', items(first, rest, 0, min, max), ']');
    }

    /** What stands behind so many items: the next, or the end. */
    private static Expr items(List<Expr> first, Expr rest, int at, int min, int max) {
        if (at == max) {
            return at == 0 ? Expr.EMPTY : JsonText.SPACE;
        }
        Expr more;
        if (at < first.size()) {
            Expr item = at == 0 ? first.get(at) : JsonText.then(first.get(at));
            more = Expr.seq(item, items(first, rest, at + 1, min, max));
        } else if (at == 0) {
            more = Expr.seq(rest, items(first, rest, 1, min, max));
        } else {
            Expr others = new Expr.Repeat(JsonText.then(rest), Math.max(0, min - at), max < 0 ? -1 : max - at);
            return Expr.seq(others, JsonText.SPACE);
        }
        return at >= min ? Expr.alt(more, at == 0 ? Expr.EMPTY : JsonText.SPACE) : more;
    }

    private Expr object(ObjectNode schema, String path, int depth) {
        Map<String, Expr> named = new LinkedHashMap<>();
        for (Map.Entry<String, JsonNode> property : schema.path("properties").properties()) {
            named.put(property.getKey(), shared(JsonText.member(string(property.getKey()),
                    value(property.getValue(), path + "/properties/" + property.getKey(), depth + 1))));
        }
        var required = new LinkedHashSet<String>();
        schema.path("required").forEach(name -> required.add(name.asText()));
        JsonNode additional = schema.get("additionalProperties");
        Expr more = additional == null ? named.isEmpty() ? JsonText.value(rules) : null
                : additional.isBoolean() && !additional.booleanValue() ? null : value(additional, path + "/additionalProperties", depth + 1);
        for (String name : required) {
            if (!named.containsKey(name)) {
                if (additional != null && more == null) {
                    return Expr.NEVER;
                }
                named.put(name, shared(JsonText.member(string(name), more == null ? JsonText.value(rules) : more)));
            }
        }
        if (count(schema, path, "minProperties", 0) > required.size() || count(schema, path, "maxProperties", -1) >= 0
                && (more != null || count(schema, path, "maxProperties", -1) < named.size())) {
            throw error(path, "'minProperties' and 'maxProperties' are supported only where the named properties keep to them anyway");
        }
        Expr others = more == null ? null : shared(JsonText.member(JsonText.stringBut(named.keySet()), more));
        return JsonText.bracketed('{', members(List.copyOf(named.keySet()), named, required, others), '}');
    }

    /**
     * The members from each on, from the last to the first: once for when none stands before it, and once for when one does. Each is a rule, so that the
     * size does not double with every property that may be left out.
     */
    private Expr members(List<String> names, Map<String, Expr> members, Set<String> required, Expr others) {
        Expr behind = others == null ? JsonText.SPACE : Expr.seq(Expr.any(JsonText.then(others)), JsonText.SPACE);
        Expr first = others == null ? Expr.EMPTY : Expr.optional(Expr.seq(others, behind));
        for (int i = names.size() - 1; i >= 0; i--) {
            String name = names.get(i);
            Expr rest = shared(behind);
            Expr atFirst = Expr.seq(members.get(name), rest);
            Expr later = Expr.seq(JsonText.then(members.get(name)), rest);
            boolean optional = !required.contains(name);
            behind = optional ? Expr.alt(later, rest) : later;
            first = optional ? Expr.alt(atFirst, first) : atFirst;
        }
        return first;
    }

    private Expr shared(Expr body) {
        return body instanceof Expr.Ref ? body : rules.define("part " + rules.rules().size(), body);
    }

    private static int count(ObjectNode schema, String path, String key, int absent) {
        JsonNode value = schema.get(key);
        if (value == null) {
            return absent;
        }
        if (!value.isIntegralNumber() || !value.canConvertToInt() || value.intValue() < 0 || value.intValue() > 10_000) {
            throw error(path, "'" + key + "' must be an integer from 0 to 10000, found " + value);
        }
        return value.intValue();
    }

    private static GrammarException error(String path, String what) {
        return new GrammarException("the JSON schema is not supported at " + path + ": " + what);
    }
}
