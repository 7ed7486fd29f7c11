package dev.polyphon.server.openai.tools;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polyphon.runtime.Grammar;
import dev.polyphon.runtime.ToolFormat;
import java.util.List;

/** Holds an output to a call of one of some tools, with arguments that are valid under its parameters' schema, in the form that the model knows. */
public final class CallGrammar {
    private static final JsonNodeFactory NODES = JsonNodeFactory.instance;

    private CallGrammar() {}

    /** @param parallel whether there may be several calls, where the form has room for them */
    public static Grammar of(List<Tool> tools, ToolFormat format, boolean parallel) {
        ObjectNode schema = NODES.objectNode();
        ObjectNode definitions = schema.putObject("$defs");
        ArrayNode calls = NODES.arrayNode();
        for (int i = 0; i < tools.size(); i++) {
            String name = "t" + i;
            definitions.set(name, rebased(parameters(tools.get(i)), "#/$defs/" + name));
            calls.add(call(tools.get(i).name(), name, format == ToolFormat.LLAMA3_JSON ? "parameters" : "arguments"));
        }
        if (format == ToolFormat.MISTRAL) {
            schema.put("type", "array").put("minItems", 1).putObject("items").set("anyOf", calls);
            if (!parallel) {
                schema.put("maxItems", 1);
            }
        } else {
            schema.set("anyOf", calls);
        }
        var json = new Grammar.JsonSchema(schema.toString());
        return switch (format) {
            case LLAMA3_JSON, MISTRAL -> json;
            case HERMES, NONE, OTHER -> new Grammar.Sequence(List.of(text("<tool_call>\n"), json, text("\n</tool_call>")));
        };
    }

    private static Grammar text(String text) {
        return new Grammar.Choice(List.of(text));
    }

    private static ObjectNode call(String name, String definition, String arguments) {
        ObjectNode call = NODES.objectNode().put("type", "object").put("additionalProperties", false);
        ObjectNode properties = call.putObject("properties");
        properties.putObject("name").put("const", name);
        properties.putObject(arguments).put("$ref", "#/$defs/" + definition);
        call.putArray("required").add("name").add(arguments);
        return call;
    }

    /** An object; a function that says nothing of its parameters has none. */
    private static JsonNode parameters(Tool tool) {
        JsonNode parameters = tool.parameters();
        if (parameters == null || parameters.isObject() && parameters.isEmpty()) {
            return NODES.objectNode().put("type", "object").put("additionalProperties", false);
        }
        if (parameters.isObject() && parameters.path("type").asText().equals("object") && parameters.path("properties").isEmpty()
                && !parameters.has("additionalProperties")) {
            return ((ObjectNode) parameters.deepCopy()).put("additionalProperties", false);
        }
        return parameters;
    }

    /** A schema whose references into itself lead to where it stands in another. */
    private static JsonNode rebased(JsonNode schema, String at) {
        JsonNode copy = schema.deepCopy();
        for (JsonNode parent : copy.findParents("$ref")) {
            JsonNode reference = parent.get("$ref");
            if (reference.isTextual() && reference.textValue().startsWith("#")) {
                ((ObjectNode) parent).put("$ref", at + reference.textValue().substring(1));
            }
        }
        return copy;
    }
}
