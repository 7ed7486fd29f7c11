package dev.polyphon.engine.sample;

import dev.polyphon.runtime.FinishReason;
import dev.polyphon.runtime.Sampling;
import java.util.HashSet;
import java.util.Optional;
import java.util.Set;

/** When a sequence ends by its tokens: end and stop tokens, and the limits on their number. Stop strings are found in the text, elsewhere. */
public final class Stopping {
    private final Set<Integer> ends;
    private final int minTokens;
    private final int limit;

    /**
     * @param endTokens the model's own end tokens
     * @param room how many tokens the context holds after the prompt
     */
    public Stopping(Sampling sampling, Set<Integer> endTokens, int room) {
        ends = ends(sampling, endTokens);
        minTokens = sampling.minTokens();
        limit = sampling.maxTokens() < 0 ? room : Math.min(sampling.maxTokens(), room);
    }

    /** The tokens that end an output with these parameters. */
    static Set<Integer> ends(Sampling sampling, Set<Integer> endTokens) {
        if (sampling.ignoreEos()) {
            return sampling.stopTokens();
        }
        var all = new HashSet<>(endTokens);
        all.addAll(sampling.stopTokens());
        return Set.copyOf(all);
    }

    /**
     * Whether the sequence ends with this token.
     *
     * @param generated how many tokens were generated, this one included
     * @return {@link FinishReason#STOP}: the token ends the output and is not part of it; {@link FinishReason#LENGTH}: it is the last one; empty: go on
     */
    public Optional<FinishReason> after(int token, int generated) {
        if (generated > minTokens && ends.contains(token)) {
            return Optional.of(FinishReason.STOP);
        }
        return generated >= limit ? Optional.of(FinishReason.LENGTH) : Optional.empty();
    }

    /** The most tokens that will be generated. */
    public int limit() {
        return limit;
    }
}
