package dev.polyphon.server.openai.tools;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.Objects;

/**
 * A function that a model may call.
 *
 * @param definition as the request has it
 * @param parameters JSON Schema of its arguments, or null when it has none
 */
public record Tool(String name, JsonNode definition, JsonNode parameters) {
    public Tool {
        Objects.requireNonNull(name);
        Objects.requireNonNull(definition);
    }
}
