package dev.polyphon.server.openai;

import dev.polyphon.runtime.Prompt;
import dev.polyphon.runtime.Runtime;
import dev.polyphon.runtime.TextCodec;
import java.util.List;

/** Reads {@code POST /v1/completions}. */
final class CompletionRequest {
    /** OpenAI's, for completions. */
    private static final int DEFAULT_MAX_TOKENS = 16;

    private final Runtime runtime;

    CompletionRequest(Runtime runtime) {
        this.runtime = runtime;
    }

    Asked read(Fields fields, Target target, RequestLimits limits) {
        Unsupported.refuseInCompletion(fields);
        int maxTokens = fields.integer("max_tokens", DEFAULT_MAX_TOKENS, 0, Integer.MAX_VALUE);
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
        boolean echo = fields.flag("echo", false);
        var scores = PromptScores.read(fields, echo ? logprobs : -1, stream, limits);
        var sampling = SamplingFields.read(fields, limits, target.base(), maxTokens)
                .logprobs(candidates > choices ? Math.max(0, logprobs) : logprobs)
                .promptLogprobs(scores.alternatives())
                .build();
        var format = new CompletionFormat(target.requested(), echo ? echoes(prompts, target) : List.of(), scores, choices, logprobs >= 0);
        var generate = new Generate(format.id(), "text_completion", target, prompts, sampling, candidates, choices, stream,
                Terms.read(fields));
        return Asked.tokens(generate, Generate.includeUsage(fields, stream), format);
    }

    /** The prompts' texts, to be repeated. */
    private List<String> echoes(List<Prompt> prompts, Target target) {
        return prompts.stream()
                .map(prompt -> switch (prompt) {
                    case Prompt.Text text -> text.text();
                    case Prompt.Tokens tokens -> codec(target).decode(tokens.ids());
                    case Prompt.Chat _ -> throw new IllegalStateException("a conversation is no prompt of a completion");
                })
                .toList();
    }

    private TextCodec codec(Target target) {
        return runtime.text(target.base().name()).orElseThrow(() -> ApiException.invalid("echo", "unsupported_value",
                "'echo' of token ids is not supported for this model: its tokenizer is not here."));
    }
}
