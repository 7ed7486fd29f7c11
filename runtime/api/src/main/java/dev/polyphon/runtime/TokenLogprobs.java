package dev.polyphon.runtime;

import java.util.List;

/**
 * Natural-log probabilities at one position, of the distribution before temperature and truncation.
 *
 * @param chosen the token that was generated
 * @param top the most likely tokens, best first
 */
public record TokenLogprobs(Entry chosen, List<Entry> top) {

    public TokenLogprobs {
        top = List.copyOf(top);
    }

    /**
     * @param bytes the token's own bytes, which need not be whole characters; text for display is their UTF-8 decoding
     */
    public record Entry(int token, byte[] bytes, float logprob) {
        public String text() {
            return new String(bytes, java.nio.charset.StandardCharsets.UTF_8);
        }
    }
}
