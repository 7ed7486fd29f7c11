package dev.polyphon.runtime;

import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.Set;

/**
 * How tokens are chosen and when a sequence ends. The order is: logit bias, penalties, grammar, temperature, top-k, top-p, min-p, draw.
 *
 * @param temperature 0 is greedy
 * @param topK keep the k most likely tokens; 0 keeps all
 * @param topP keep the smallest set of most likely tokens whose probability reaches p; 1 keeps all
 * @param minP drop tokens less likely than {@code minP} times the most likely one; 0 keeps all
 * @param repetitionPenalty divides positive and multiplies negative logits of tokens in prompt or output (CTRL, Keskar et al. 2019); 1 is none
 * @param presencePenalty subtracted from the logits of tokens in the output
 * @param frequencyPenalty subtracted once per occurrence in the output
 * @param logitBias added to the logits of these ids
 * @param seed makes the draws reproducible, whatever else is in the batch; empty for a fresh one
 * @param stop strings that end the output; not part of it
 * @param stopTokens ids that end the output, besides the model's own; not part of it
 * @param minTokens no end before so many tokens
 * @param maxTokens most tokens to generate; 0 to read the prompt and no more, -1 for as many as the context has room for
 * @param ignoreEos the model's own end tokens do not end the output
 * @param logprobs number of most likely tokens to report beside each chosen one; -1 reports nothing, 0 the chosen one alone
 * @param promptLogprobs number of most likely tokens to report beside each token of the prompt, once; -1 reports nothing, 0 the prompt's tokens alone
 * @param grammar what the output must look like; null for anything. An output that matches and cannot go on ends by itself
 */
public record Sampling(
        float temperature,
        int topK,
        float topP,
        float minP,
        float repetitionPenalty,
        float presencePenalty,
        float frequencyPenalty,
        Map<Integer, Float> logitBias,
        OptionalLong seed,
        List<String> stop,
        Set<Integer> stopTokens,
        int minTokens,
        int maxTokens,
        boolean ignoreEos,
        int logprobs,
        int promptLogprobs,
        Grammar grammar) {

    public Sampling {
        logitBias = Map.copyOf(logitBias);
        stop = List.copyOf(stop);
        stopTokens = Set.copyOf(stopTokens);
    }

    /** Always the most likely token, up to so many. */
    public static Sampling greedy(int maxTokens) {
        return builder().temperature(0).maxTokens(maxTokens).build();
    }

    /** Temperature 1, no truncation, no penalties, no limit but the context. */
    public static Builder builder() {
        return new Builder();
    }

    /** Collects the fields that differ from the defaults. */
    public static final class Builder {
        private float temperature = 1;
        private int topK;
        private float topP = 1;
        private float minP;
        private float repetitionPenalty = 1;
        private float presencePenalty;
        private float frequencyPenalty;
        private Map<Integer, Float> logitBias = Map.of();
        private OptionalLong seed = OptionalLong.empty();
        private List<String> stop = List.of();
        private Set<Integer> stopTokens = Set.of();
        private int minTokens;
        private int maxTokens = -1;
        private boolean ignoreEos;
        private int logprobs = -1;
        private int promptLogprobs = -1;
        private Grammar grammar;

        private Builder() {}

        public Builder temperature(float value) {
            temperature = value;
            return this;
        }

        public Builder topK(int value) {
            topK = value;
            return this;
        }

        public Builder topP(float value) {
            topP = value;
            return this;
        }

        public Builder minP(float value) {
            minP = value;
            return this;
        }

        public Builder repetitionPenalty(float value) {
            repetitionPenalty = value;
            return this;
        }

        public Builder presencePenalty(float value) {
            presencePenalty = value;
            return this;
        }

        public Builder frequencyPenalty(float value) {
            frequencyPenalty = value;
            return this;
        }

        public Builder logitBias(Map<Integer, Float> value) {
            logitBias = value;
            return this;
        }

        public Builder seed(long value) {
            seed = OptionalLong.of(value);
            return this;
        }

        public Builder stop(List<String> value) {
            stop = value;
            return this;
        }

        public Builder stopTokens(Set<Integer> value) {
            stopTokens = value;
            return this;
        }

        public Builder minTokens(int value) {
            minTokens = value;
            return this;
        }

        public Builder maxTokens(int value) {
            maxTokens = value;
            return this;
        }

        public Builder ignoreEos(boolean value) {
            ignoreEos = value;
            return this;
        }

        public Builder logprobs(int value) {
            logprobs = value;
            return this;
        }

        public Builder promptLogprobs(int value) {
            promptLogprobs = value;
            return this;
        }

        public Builder grammar(Grammar value) {
            grammar = value;
            return this;
        }

        public Sampling build() {
            return new Sampling(temperature, topK, topP, minP, repetitionPenalty, presencePenalty, frequencyPenalty, logitBias, seed,
                    stop, stopTokens, minTokens, maxTokens, ignoreEos, logprobs, promptLogprobs, grammar);
        }
    }
}
