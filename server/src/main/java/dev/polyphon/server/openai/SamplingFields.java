package dev.polyphon.server.openai;

import com.fasterxml.jackson.databind.JsonNode;
import dev.polyphon.runtime.ModelInfo;
import dev.polyphon.runtime.Sampling;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;

/** The fields about choosing tokens that both APIs share: OpenAI's, and those vLLM adds. */
public final class SamplingFields {
    private SamplingFields() {}

    /**
     * Reads all but {@code logprobs}, which the APIs ask for differently.
     *
     * @param maxTokens as read by the caller, -1 for no limit
     */
    public static Sampling.Builder read(Fields fields, RequestLimits limits, ModelInfo model, int maxTokens) {
        int largest = Integer.MAX_VALUE;
        var sampling = Sampling.builder()
                .temperature(fields.number("temperature", 1, 0, 2))
                .topP(fields.number("top_p", 1, 0, 1))
                .topK(Math.max(0, fields.integer("top_k", 0, -1, largest)))
                .minP(fields.number("min_p", 0, 0, 1))
                .repetitionPenalty(fields.number("repetition_penalty", 1, 0.01, 100))
                .presencePenalty(fields.number("presence_penalty", 0, -2, 2))
                .frequencyPenalty(fields.number("frequency_penalty", 0, -2, 2))
                .logitBias(logitBias(fields, limits, model))
                .stop(stop(fields, limits))
                .stopTokens(new LinkedHashSet<>(fields.list("stop_token_ids", limits.stops(), (path, id) -> tokenId(path, id, model))))
                .minTokens(minTokens(fields, maxTokens))
                .maxTokens(maxTokens)
                .ignoreEos(fields.flag("ignore_eos", false))
                .grammar(GrammarFields.read(fields));
        fields.get("seed").ifPresent(_ -> sampling.seed(fields.integer("seed", 0L, Long.MIN_VALUE, Long.MAX_VALUE)));
        return sampling;
    }

    static int tokenId(String path, JsonNode id, ModelInfo model) {
        return (int) Fields.integer(path, id, 0, model.vocabulary() - 1);
    }

    private static int minTokens(Fields fields, int maxTokens) {
        int minTokens = fields.integer("min_tokens", 0, 0, Integer.MAX_VALUE);
        if (maxTokens >= 0 && minTokens > maxTokens) {
            throw ApiException.invalid("min_tokens", "invalid_value",
                    "Invalid 'min_tokens': it must not be above 'max_tokens', but got " + minTokens + " and " + maxTokens + ".");
        }
        return minTokens;
    }

    private static List<String> stop(Fields fields, RequestLimits limits) {
        return fields.get("stop")
                .map(value -> {
                    if (value.isTextual()) {
                        return List.of(stopText(fields.path("stop"), value, limits));
                    }
                    if (!value.isArray()) {
                        throw Fields.wrongType(fields.path("stop"), "a string or an array of strings", value);
                    }
                    return Fields.list(fields.path("stop"), value, limits.stops(), (path, element) -> stopText(path, element, limits));
                })
                .orElse(List.of());
    }

    private static String stopText(String path, JsonNode value, RequestLimits limits) {
        String text = Fields.text(path, value);
        if (text.isEmpty()) {
            throw ApiException.invalid(path, "invalid_value", "Invalid '" + path + "': a stop string must not be empty.");
        }
        if (text.length() > limits.stopLength()) {
            throw ApiException.invalid(path, "string_above_max_length", "Invalid '" + path + "': string too long. Expected a string with maximum length "
                    + limits.stopLength() + ", but got a string with length " + text.length() + " instead.");
        }
        return text;
    }

    private static Map<Integer, Float> logitBias(Fields fields, RequestLimits limits, ModelInfo model) {
        var found = fields.get("logit_bias");
        if (found.isEmpty()) {
            return Map.of();
        }
        Fields.object(fields.path("logit_bias"), found.get());
        if (found.get().size() > limits.logitBias()) {
            throw ApiException.invalid("logit_bias", "object_above_max_properties", "Invalid 'logit_bias': too many properties. Expected at most "
                    + limits.logitBias() + ", but got " + found.get().size() + " instead.");
        }
        var bias = new HashMap<Integer, Float>();
        found.get().properties().forEach(entry -> {
            String path = "logit_bias." + entry.getKey();
            bias.put(biasedToken(entry.getKey(), model), Fields.number(path, entry.getValue(), -100, 100));
        });
        return bias;
    }

    private static int biasedToken(String key, ModelInfo model) {
        int id;
        try {
            id = Integer.parseInt(key);
        } catch (NumberFormatException e) {
            id = -1;
        }
        if (id < 0 || id >= model.vocabulary()) {
            throw ApiException.invalid("logit_bias", "invalid_value", "Invalid key in 'logit_bias': expected a token id from 0 to "
                    + (model.vocabulary() - 1) + ", but got '" + key + "'.");
        }
        return id;
    }
}
