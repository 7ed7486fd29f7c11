package dev.polyphon.server.openai;

import com.fasterxml.jackson.databind.JsonNode;
import dev.polyphon.runtime.ModelInfo;
import dev.polyphon.runtime.Prompt;
import java.util.List;

/** Reads prompts: a text, token ids, or several of either. */
final class Prompts {
    private Prompts() {}

    /** @param most that there may be */
    static List<Prompt> read(Fields fields, String field, ModelInfo model, int most) {
        JsonNode value = fields.get(field).orElseThrow(() -> Fields.missing(field));
        boolean special = fields.flag("add_special_tokens", true);
        if (value.isTextual()) {
            return List.of(new Prompt.Text(value.textValue(), special));
        }
        if (!value.isArray()) {
            throw Fields.wrongType(field, "a string, an array of strings, an array of token ids or an array of such arrays", value);
        }
        if (value.isEmpty()) {
            throw ApiException.invalid(field, "empty_array", "Invalid '" + field + "': empty array. Expected an array with at least one element.");
        }
        if (value.get(0).isNumber()) {
            return List.of(new Prompt.Tokens(tokens(field, value, model)));
        }
        return Fields.list(field, value, most, (path, element) ->
                element.isArray() ? new Prompt.Tokens(tokens(path, element, model)) : new Prompt.Text(text(path, element), special));
    }

    private static String text(String path, JsonNode element) {
        if (!element.isTextual()) {
            throw Fields.wrongType(path, "a string or an array of token ids", element);
        }
        return element.textValue();
    }

    /** At least one token id. */
    static int[] tokens(String path, JsonNode array, ModelInfo model) {
        var ids = Fields.list(path, array, Integer.MAX_VALUE, (at, id) -> SamplingFields.tokenId(at, id, model));
        if (ids.isEmpty()) {
            throw ApiException.invalid(path, "empty_array", "Invalid '" + path + "': empty array. Expected at least one token id.");
        }
        return ids.stream().mapToInt(Integer::intValue).toArray();
    }
}
