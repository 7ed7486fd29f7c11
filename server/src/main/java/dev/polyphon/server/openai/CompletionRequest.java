package dev.polyphon.server.openai;

import dev.polyphon.runtime.Prompt;
import java.util.List;

/** Reads {@code POST /v1/completions}. */
final class CompletionRequest {
    /** OpenAI's, for completions. */
    private static final int DEFAULT_MAX_TOKENS = 16;

    private CompletionRequest() {}

    static Asked read(Fields fields, Target target, RequestLimits limits) {
        Unsupported.refuseInCompletion(fields);
        int maxTokens = fields.integer("max_tokens", DEFAULT_MAX_TOKENS, 1, Integer.MAX_VALUE);
        int choices = fields.integer("n", 1, 1, limits.choices());
        int candidates = fields.integer("best_of", choices, 1, limits.choices());
        boolean stream = Generate.stream(fields);
        if (candidates < choices) {
            throw ApiException.invalid("best_of", "invalid_value", "Invalid 'best_of': it must not be below 'n', but got " + candidates + " and " + choices + ".");
        }
        if (stream && candidates > choices) {
            throw ApiException.invalid("best_of", "invalid_value", "Invalid 'best_of': the best of several continuations is known at the end only, so it must "
                    + "equal 'n' when 'stream' is enabled, but got " + candidates + " and " + choices + ".");
        }
        int logprobs = fields.integer("logprobs", -1, 0, limits.logprobs());
        List<Prompt> prompts = Prompts.read(fields, "prompt", target.base(), limits.prompts());
        Generate.checkSequences(prompts.size(), candidates, limits);
        var sampling = SamplingFields.read(fields, limits, target.base(), maxTokens)
                .logprobs(candidates > choices ? Math.max(0, logprobs) : logprobs)
                .build();
        var format = new CompletionFormat(target.requested(), echoes(fields, prompts, logprobs), choices, logprobs >= 0);
        var generate = new Generate(format.id(), "text_completion", target, prompts, sampling, candidates, choices, stream,
                Terms.read(fields));
        return Asked.tokens(generate, Generate.includeUsage(fields, stream), format);
    }

    /** The prompts' texts when they are to be repeated; empty when not. */
    private static List<String> echoes(Fields fields, List<Prompt> prompts, int logprobs) {
        if (!fields.flag("echo", false)) {
            return List.of();
        }
        if (logprobs >= 0) {
            throw ApiException.invalid("echo", "unsupported_value", "'echo' together with 'logprobs' is not supported: the prompt's log probabilities are not computed.");
        }
        return prompts.stream()
                .map(prompt -> switch (prompt) {
                    case Prompt.Text text -> text.text();
                    case Prompt.Tokens _, Prompt.Chat _ ->
                        throw ApiException.invalid("echo", "unsupported_value", "'echo' is supported for prompts given as text only, not for token ids.");
                })
                .toList();
    }
}
