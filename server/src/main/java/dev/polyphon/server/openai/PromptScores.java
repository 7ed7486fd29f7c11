package dev.polyphon.server.openai;

import com.fasterxml.jackson.core.JsonGenerator;
import dev.polyphon.runtime.TokenLogprobs;
import java.io.IOException;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * How likely the tokens of one request's prompts are, where it asks for that: beside the prompt that is repeated ({@code echo} with {@code logprobs}, as
 * OpenAI has it), or in a list of their own ({@code prompt_logprobs}, as vLLM has it). Used on the request's event loop only.
 */
final class PromptScores {
    private final int echoed;
    private final int listed;
    private final int limit;
    private final Map<Integer, List<TokenLogprobs>> byPrompt = new HashMap<>();
    private long entries;

    /**
     * @param echoed alternatives beside each repeated token; -1 for none and no log probabilities
     * @param limit most log probabilities of a request
     */
    private PromptScores(int echoed, int listed, int limit) {
        this.echoed = echoed;
        this.listed = listed;
        this.limit = limit;
    }

    /** @param echoed see the constructor */
    static PromptScores read(Fields fields, int echoed, boolean stream, RequestLimits limits) {
        int listed = fields.integer("prompt_logprobs", -1, 0, limits.logprobs());
        if (listed >= 0 && stream) {
            throw ApiException.invalid("prompt_logprobs", "invalid_value", "The 'prompt_logprobs' parameter is not allowed when 'stream' is enabled.");
        }
        return new PromptScores(echoed, listed, limits.promptLogprobs());
    }

    /** What is asked of the runtime, as {@link dev.polyphon.runtime.Sampling#promptLogprobs} says it. */
    int alternatives() {
        return Math.max(echoed, listed);
    }

    /** @throws ApiException when that makes more than one request may have */
    void add(int prompt, List<TokenLogprobs> scores) {
        entries += (long) scores.size() * (1 + alternatives());
        if (entries > limit) {
            throw ApiException.invalid(listed >= 0 ? "prompt_logprobs" : "logprobs", "invalid_value", "This request asks for more log probabilities of its prompts than the "
                    + limit + " allowed in one request: each token counts " + (1 + alternatives()) + ", itself and its alternatives, and " + entries
                    + " were found so far.");
        }
        byPrompt.put(prompt, scores);
    }

    private List<TokenLogprobs> of(int prompt) {
        return byPrompt.getOrDefault(prompt, List.of());
    }

    /** Tokens of a prompt that stand before its continuations; none unless they are repeated with log probabilities. */
    List<TokenLogprobs> echoed(int prompt) {
        return echoed < 0 ? List.of() : of(prompt).stream().map(score -> trimmed(score, echoed)).toList();
    }

    private static TokenLogprobs trimmed(TokenLogprobs score, int most) {
        return score.top().size() <= most ? score : new TokenLogprobs(score.chosen(), score.top().subList(0, most));
    }

    /** Tokens known of all prompts. */
    int size() {
        return byPrompt.values().stream().mapToInt(List::size).sum();
    }

    /** Writes the list of a prompt, where one is wanted. */
    void list(JsonGenerator json, int prompt) throws IOException {
        if (listed >= 0) {
            Logprobs.prompt(json, of(prompt).stream().map(score -> trimmed(score, listed)).toList());
        }
    }
}
