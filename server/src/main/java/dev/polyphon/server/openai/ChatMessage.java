package dev.polyphon.server.openai;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Reads a message of a conversation into what chat templates expect. */
final class ChatMessage {
    private static final List<String> ROLES = List.of("system", "developer", "user", "assistant", "tool", "function");

    private ChatMessage() {}

    /**
     * The message's fields, with two changes that templates rely on: content in parts becomes one string, and the arguments of tool calls,
     * which OpenAI sends as JSON in a string, become what is in it.
     */
    static Map<String, Object> read(String path, JsonNode node) {
        Fields message = Fields.object(path, node);
        String role = message.requiredText("role");
        if (!ROLES.contains(role)) {
            throw ApiException.invalid(path + ".role", "invalid_value", "Invalid value: '" + role + "'. Supported values are: '"
                    + String.join("', '", ROLES) + "'.");
        }
        var result = new LinkedHashMap<String, Object>();
        node.properties().forEach(entry -> result.put(entry.getKey(), plain(entry.getValue())));
        // Templates know the older name of the same role.
        result.put("role", role.equals("developer") ? "system" : role);
        result.put("content", content(path + ".content", message, role));
        var calls = message.list("tool_calls", Integer.MAX_VALUE, ChatMessage::toolCall);
        if (!calls.isEmpty()) {
            result.put("tool_calls", calls);
        }
        return result;
    }

    private static String content(String path, Fields message, String role) {
        var found = message.get("content");
        if (found.isEmpty()) {
            if (role.equals("assistant")) {
                return null;
            }
            throw Fields.missing(path);
        }
        JsonNode content = found.get();
        if (content.isTextual()) {
            return content.textValue();
        }
        if (!content.isArray()) {
            throw Fields.wrongType(path, "a string or an array of content parts", content);
        }
        return String.join("\n", Fields.list(path, content, Integer.MAX_VALUE, ChatMessage::part));
    }

    private static String part(String path, JsonNode node) {
        Fields part = Fields.object(path, node);
        String type = part.requiredText("type");
        return switch (type) {
            case "text" -> part.requiredText("text");
            case "refusal" -> part.requiredText("refusal");
            default -> throw ApiException.invalid(path + ".type", "unsupported_value", "Unsupported value: '" + type
                    + "'. This server takes content parts of type 'text' only.");
        };
    }

    private static Object toolCall(String path, JsonNode node) {
        Fields function = Fields.object(path, node).object("function").orElseThrow(() -> Fields.missing(path + ".function"));
        function.requiredText("name");
        @SuppressWarnings("unchecked")
        var call = (Map<String, Object>) plain(node);
        @SuppressWarnings("unchecked")
        var details = (Map<String, Object>) call.get("function");
        function.get("arguments").filter(JsonNode::isTextual).ifPresent(arguments -> {
            String text = arguments.textValue().isBlank() ? "{}" : arguments.textValue();
            try {
                details.put("arguments", plain(Json.MAPPER.readTree(text)));
            } catch (JsonProcessingException e) {
                throw ApiException.invalid(path + ".function.arguments", "invalid_value",
                        "Invalid '" + path + ".function.arguments': expected JSON in a string, but " + e.getOriginalMessage());
            }
        });
        return call;
    }

    /** A JSON value as maps, lists, strings, numbers, booleans and nulls. */
    static Object plain(JsonNode node) {
        return Json.MAPPER.convertValue(node, Object.class);
    }
}
