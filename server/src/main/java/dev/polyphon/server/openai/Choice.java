package dev.polyphon.server.openai;

import dev.polyphon.runtime.FinishReason;
import dev.polyphon.runtime.TokenLogprobs;
import java.util.List;

/**
 * A continuation that is complete.
 *
 * @param tokens generated
 */
public record Choice(String text, List<TokenLogprobs> logprobs, FinishReason reason, int tokens) {

    /** Mean log probability of its tokens, by which the best of several is chosen; 0 when there are none. */
    double likelihood() {
        return logprobs.stream().mapToDouble(token -> token.chosen().logprob()).average().orElse(0);
    }
}
