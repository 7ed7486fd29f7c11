package dev.polyphon.engine.sample.grammar;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.HashSet;
import java.util.Set;
import java.util.function.UnaryOperator;

/** Whether no value is valid under two schemas, as far as types and constants show it. */
final class Disjoint {
    private Disjoint() {}

    static boolean all(JsonNode schemas, UnaryOperator<JsonNode> resolve) {
        for (int i = 0; i < schemas.size(); i++) {
            for (int j = 0; j < i; j++) {
                if (!two(resolve.apply(schemas.get(i)), resolve.apply(schemas.get(j)), resolve)) {
                    return false;
                }
            }
        }
        return true;
    }

    private static boolean two(JsonNode a, JsonNode b, UnaryOperator<JsonNode> resolve) {
        if (apart(types(a), types(b)) || apart(constants(a), constants(b))) {
            return true;
        }
        for (JsonNode name : a.path("required")) {
            if (contains(b.path("required"), name) && types(a).equals(Set.of("object")) && types(b).equals(Set.of("object"))
                    && apart(constants(resolve.apply(a.path("properties").path(name.asText()))),
                            constants(resolve.apply(b.path("properties").path(name.asText()))))) {
                return true;
            }
        }
        return false;
    }

    private static boolean contains(JsonNode list, JsonNode wanted) {
        for (JsonNode element : list) {
            if (element.equals(wanted)) {
                return true;
            }
        }
        return false;
    }

    /** Both are known, and have nothing in common. */
    private static boolean apart(Set<?> a, Set<?> b) {
        return !a.isEmpty() && !b.isEmpty() && a.stream().noneMatch(b::contains);
    }

    private static Set<String> types(JsonNode schema) {
        var types = new HashSet<String>();
        JsonNode type = schema.path("type");
        if (type.isTextual()) {
            types.add(type.asText());
        }
        type.forEach(one -> types.add(one.asText()));
        if (types.contains("number")) {
            types.add("integer");
        }
        return types;
    }

    private static Set<JsonNode> constants(JsonNode schema) {
        var constants = new HashSet<JsonNode>();
        if (schema.has("const")) {
            constants.add(schema.get("const"));
        }
        schema.path("enum").forEach(constants::add);
        return constants.stream().allMatch(JsonNode::isTextual) ? constants : Set.of();
    }
}
