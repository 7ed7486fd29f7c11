package dev.polyphon.engine.sample;

import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.runtime.Sampling;

/** The ranges of sampling parameters. */
final class SamplingRules {
    private SamplingRules() {}

    static void check(Sampling params, int vocabulary) {
        require(finite(params.temperature()) && params.temperature() >= 0, "temperature", "a number of at least 0", params.temperature());
        require(params.topK() >= 0, "topK", "at least 0", params.topK());
        require(params.topP() >= 0 && params.topP() <= 1, "topP", "from 0 to 1", params.topP());
        require(params.minP() >= 0 && params.minP() <= 1, "minP", "from 0 to 1", params.minP());
        require(finite(params.repetitionPenalty()) && params.repetitionPenalty() > 0, "repetitionPenalty", "a number greater than 0",
                params.repetitionPenalty());
        require(finite(params.presencePenalty()), "presencePenalty", "a number", params.presencePenalty());
        require(finite(params.frequencyPenalty()), "frequencyPenalty", "a number", params.frequencyPenalty());
        params.logitBias().forEach((token, bias) -> {
            require(token >= 0 && token < vocabulary, "logitBias", "for tokens from 0 to " + (vocabulary - 1), "token " + token);
            require(finite(bias), "logitBias", "a number for token " + token, bias);
        });
        for (int token : params.stopTokens()) {
            require(token >= 0 && token < vocabulary, "stopTokens", "tokens from 0 to " + (vocabulary - 1), token);
        }
        require(params.minTokens() >= 0, "minTokens", "at least 0", params.minTokens());
        require(params.maxTokens() >= -1, "maxTokens", "at least 0, or -1 for all the context has room for", params.maxTokens());
        require(params.maxTokens() < 0 || params.minTokens() <= params.maxTokens(), "minTokens", "at most maxTokens, " + params.maxTokens(),
                params.minTokens());
        require(params.logprobs() >= -1, "logprobs", "at least 0, or -1 for none", params.logprobs());
        require(params.promptLogprobs() >= -1, "promptLogprobs", "at least 0, or -1 for none", params.promptLogprobs());
    }

    private static boolean finite(float value) {
        return Float.isFinite(value);
    }

    private static void require(boolean holds, String param, String rule, Object found) {
        if (!holds) {
            throw RuntimeFault.invalid(param, param + " must be " + rule + ", found " + found);
        }
    }
}
