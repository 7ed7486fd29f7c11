package dev.polyphon.engine.schedule;

import dev.polyphon.engine.sample.Sampler;
import dev.polyphon.engine.sample.Vocabulary;
import dev.polyphon.runtime.TokenLogprobs;
import java.util.Arrays;
import java.util.List;

/**
 * How likely the tokens of one sequence's prompt are: the logits of each position but the last tell of the token that follows it. Positions that were read count as
 * often as the prompt is read anew, so that it makes no difference in which chunks and how often that is. Used by the step loop's thread alone.
 */
public final class Scored {
    private final int most;
    private final Vocabulary vocabulary;
    private final int[] prompt;
    private final TokenLogprobs[] scores;
    /** Positions of the prompt whose logits were read. */
    private int read;
    private boolean told;

    /**
     * @param prompt at least one token
     * @param most likely tokens beside each of it
     */
    public Scored(int[] prompt, int most, Vocabulary vocabulary) {
        this.prompt = prompt;
        this.most = most;
        this.vocabulary = vocabulary;
        scores = new TokenLogprobs[prompt.length];
        scores[0] = new TokenLogprobs(new TokenLogprobs.Entry(prompt[0], vocabulary.bytes().apply(prompt[0]), Float.NaN), List.of());
    }

    /** The first position of a sequence's work whose logits are wanted; {@link #end} when none are. */
    int first(Work work) {
        return Math.clamp(work.sequence().prefixLength() + read, work.from(), end(work));
    }

    /** The position behind the last whose logits are wanted. */
    int end(Work work) {
        int last = work.sequence().prefixLength() + prompt.length - 1;
        return Math.clamp(last, work.from(), work.from() + work.rows());
    }

    /** Takes the logits of a position, which may be computed again before they count. */
    void read(Sequence sequence, int position, float[] logits, int from) {
        int next = position - sequence.prefixLength() + 1;
        scores[next] = Sampler.logprobs(logits, from, prompt[next], most, vocabulary);
    }

    /** Some work was computed. @return whether with that all tokens are known for the first time */
    boolean advance(Work work) {
        read = Math.max(read, end(work) - work.sequence().prefixLength());
        boolean first = !told && done();
        told |= first;
        return first;
    }

    private boolean done() {
        return read >= prompt.length - 1;
    }

    /** Positions of the sequence that need not be computed for this. */
    int readable(Sequence sequence) {
        return done() ? sequence.length() : sequence.prefixLength() + read;
    }

    List<TokenLogprobs> scores() {
        return Arrays.asList(scores);
    }
}
