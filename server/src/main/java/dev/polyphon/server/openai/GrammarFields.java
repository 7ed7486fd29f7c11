package dev.polyphon.server.openai;

import com.fasterxml.jackson.databind.JsonNode;
import dev.polyphon.runtime.Grammar;
import java.util.ArrayList;
import java.util.List;

/**
 * What the output must look like: OpenAI's {@code response_format}, {@code grammar} (GBNF) and {@code regex}, and vLLM's {@code structured_outputs} and
 * {@code guided_*}. At most one of them may say something.
 */
final class GrammarFields {
    private static final int MOST_CHOICES = 1024;

    /** A grammar and the field that asks for it. */
    private record Found(String path, Grammar grammar) {}

    private GrammarFields() {}

    /** Null when the output may be anything. */
    static Grammar read(Fields fields) {
        var found = new ArrayList<Found>();
        fields.object("response_format").ifPresent(format -> responseFormat(format, found));
        add(found, fields, "grammar", GrammarFields::rules);
        add(found, fields, "regex", GrammarFields::regex);
        add(found, fields, "guided_json", GrammarFields::schema);
        add(found, fields, "guided_regex", GrammarFields::regex);
        add(found, fields, "guided_choice", GrammarFields::choice);
        add(found, fields, "guided_grammar", GrammarFields::rules);
        fields.object("structured_outputs").ifPresent(outputs -> {
            add(found, outputs, "json", GrammarFields::schema);
            add(found, outputs, "regex", GrammarFields::regex);
            add(found, outputs, "choice", GrammarFields::choice);
            add(found, outputs, "grammar", GrammarFields::rules);
            if (outputs.flag("json_object", false)) {
                found.add(new Found(outputs.path("json_object"), new Grammar.JsonObject()));
            }
            outputs.get("structural_tag").ifPresent(_ -> {
                throw ApiException.invalid(outputs.path("structural_tag"), "unsupported_parameter",
                        "Unsupported parameter: 'structured_outputs.structural_tag' is not supported by this server.");
            });
        });
        if (found.size() > 1) {
            throw ApiException.invalid(found.get(1).path, "invalid_value", "The output can be held to one form only, but '" + found.get(0).path + "' and '"
                    + found.get(1).path + "' both ask for one.");
        }
        return found.isEmpty() ? null : found.getFirst().grammar;
    }

    private interface Reader {
        Grammar read(String path, JsonNode value);
    }

    private static void add(List<Found> found, Fields fields, String name, Reader reader) {
        fields.get(name).ifPresent(value -> found.add(new Found(fields.path(name), reader.read(fields.path(name), value))));
    }

    private static void responseFormat(Fields format, List<Found> found) {
        String type = format.requiredText("type");
        switch (type) {
            case "text" -> {}
            case "json_object" -> found.add(new Found("response_format", new Grammar.JsonObject()));
            case "json_schema" -> {
                Fields named = format.object("json_schema").orElseThrow(() -> Fields.missing("response_format.json_schema"));
                JsonNode schema = named.get("schema").orElseThrow(() -> Fields.missing("response_format.json_schema.schema"));
                found.add(new Found("response_format", schema("response_format.json_schema.schema", schema)));
            }
            default -> throw ApiException.invalid("response_format.type", "unsupported_value", "Unsupported value: 'response_format.type' is '" + type
                    + "'. Supported values are: 'text', 'json_object' and 'json_schema'.");
        }
    }

    private static Grammar rules(String path, JsonNode value) {
        return new Grammar.Rules(Fields.text(path, value));
    }

    private static Grammar regex(String path, JsonNode value) {
        return new Grammar.Regex(Fields.text(path, value));
    }

    /** A schema, or one as JSON in a string. */
    private static Grammar schema(String path, JsonNode value) {
        if (!value.isObject() && !value.isBoolean() && !value.isTextual()) {
            throw Fields.wrongType(path, "a JSON schema", value);
        }
        return new Grammar.JsonSchema(value.isTextual() ? value.textValue() : value.toString());
    }

    private static Grammar choice(String path, JsonNode value) {
        List<String> texts = Fields.list(path, value, MOST_CHOICES, Fields::text);
        if (texts.isEmpty()) {
            throw ApiException.invalid(path, "empty_array", "Invalid '" + path + "': empty array. Expected an array with at least one text.");
        }
        return new Grammar.Choice(texts);
    }
}
