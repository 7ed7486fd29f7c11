package dev.polyphon.server.openai;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.Map;
import java.util.function.Predicate;

/**
 * Fields that would change the answer if they were honoured, and are not: a value other than the neutral one is refused, since ignoring it
 * would give an answer that was not asked for. Fields known to nobody are ignored, as OpenAI does.
 */
public final class Unsupported {
    private static final Predicate<JsonNode> EMPTY = value -> value.isContainerNode() && value.isEmpty();
    private static final Predicate<JsonNode> EMPTY_TEXT = value -> value.isTextual() && value.textValue().isEmpty();
    private static final Predicate<JsonNode> NO = value -> value.isBoolean() && !value.booleanValue();
    private static final Predicate<JsonNode> YES = value -> value.isBoolean() && value.booleanValue();
    private static final Predicate<JsonNode> NONE = _ -> false;

    private static final Map<String, Predicate<JsonNode>> BOTH = Map.ofEntries(
            Map.entry("use_beam_search", NO),
            Map.entry("include_stop_str_in_output", NO),
            Map.entry("skip_special_tokens", YES),
            Map.entry("truncate_prompt_tokens", NONE),
            Map.entry("allowed_token_ids", EMPTY),
            Map.entry("bad_words", EMPTY),
            Map.entry("return_tokens_as_token_ids", NO),
            Map.entry("return_token_ids", NO));

    private static final Map<String, Predicate<JsonNode>> COMPLETIONS = Map.of("suffix", EMPTY_TEXT, "prompt_embeds", NONE);

    private static final Map<String, Predicate<JsonNode>> CHAT = Map.ofEntries(
            Map.entry("functions", EMPTY),
            Map.entry("function_call", value -> value.isTextual() && value.textValue().matches("none|auto")),
            Map.entry("audio", NONE),
            Map.entry("modalities", value -> value.isArray() && value.size() == 1 && value.get(0).asText().equals("text")),
            Map.entry("prediction", NONE),
            Map.entry("web_search_options", NONE),
            Map.entry("echo", NO),
            Map.entry("add_special_tokens", NO),
            Map.entry("continue_final_message", NO),
            Map.entry("chat_template", NONE));

    private static final Map<String, Predicate<JsonNode>> EMBEDDINGS = Map.of("truncate_prompt_tokens", NONE, "messages", NONE, "embed_dtype", NONE);

    private Unsupported() {}

    static void refuseInCompletion(Fields fields) {
        BOTH.forEach((name, neutral) -> refuse(fields, name, neutral));
        COMPLETIONS.forEach((name, neutral) -> refuse(fields, name, neutral));
    }

    /** Fields of a KServe request, which has no place in its answer for what some of a completion's fields ask for. */
    public static void refuseInInference(Fields fields) {
        refuseInCompletion(fields);
        refuse(fields, "prompt_logprobs", NONE);
    }

    static void refuseInEmbedding(Fields fields) {
        EMBEDDINGS.forEach((name, neutral) -> refuse(fields, name, neutral));
    }

    static void refuseInChat(Fields fields) {
        BOTH.forEach((name, neutral) -> refuse(fields, name, neutral));
        CHAT.forEach((name, neutral) -> refuse(fields, name, neutral));
    }

    private static void refuse(Fields fields, String name, Predicate<JsonNode> neutral) {
        fields.get(name).filter(neutral.negate()).ifPresent(_ -> {
            throw ApiException.invalid(name, "unsupported_parameter", "Unsupported parameter: '" + name + "' is not supported by this server.");
        });
    }
}
