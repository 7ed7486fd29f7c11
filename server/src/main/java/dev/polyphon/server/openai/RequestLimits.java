package dev.polyphon.server.openai;

/**
 * How much one request may ask for.
 *
 * @param choices most continuations of one prompt ({@code n}, {@code best_of})
 * @param prompts most prompts in one completion request
 * @param sequences most continuations of one request in all: prompts times choices
 * @param messages most messages of a conversation
 * @param stops most stop strings, and most stop tokens
 * @param stopLength most characters of a stop string
 * @param logprobs most alternatives reported beside a token
 * @param promptLogprobs most log probabilities of prompts' tokens reported in all, each token counting itself and its alternatives
 * @param logitBias most tokens with a bias
 * @param adapters most adapters of a mix
 */
public record RequestLimits(int choices, int prompts, int sequences, int messages, int stops, int stopLength, int logprobs,
        int promptLogprobs, int logitBias, int adapters) {}
