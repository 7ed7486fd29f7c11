package dev.polyphon.engine.sample.grammar;

import dev.polyphon.engine.sample.Vocabulary;
import dev.polyphon.runtime.RuntimeFault;
import java.util.concurrent.Executor;

/**
 * Holds one output to a grammar, token by token. After each token the mask of the next is computed beside the step that follows, where it is not known
 * from before. One call at a time.
 */
public final class Constraint {
    private final States states;
    private final Vocabulary vocabulary;
    private final Executor executor;
    private States.State state;

    Constraint(States states, Vocabulary vocabulary, Executor executor) {
        this.states = states;
        this.vocabulary = vocabulary;
        this.executor = executor;
        state = states.start();
    }

    /**
     * Takes away the tokens that cannot come next: their logits become negative infinity.
     *
     * @param ends tokens that end the output, which they may only where it matches
     * @throws RuntimeFault when the grammar turns out too ambiguous
     */
    public void apply(float[] row, int[] ends) {
        long[] mask = mask();
        for (int word = 0; word < mask.length; word++) {
            long allowed = mask[word];
            if (allowed != -1L) {
                int last = Math.min(row.length, (word + 1) * Long.SIZE);
                for (int token = word * Long.SIZE; token < last; token++) {
                    if ((allowed >>> token & 1) == 0 && !(state.accepts() && isEnd(token, ends))) {
                        row[token] = Float.NEGATIVE_INFINITY;
                    }
                }
            }
        }
        if (!state.accepts()) {
            for (int end : ends) {
                row[end] = Float.NEGATIVE_INFINITY;
            }
        }
    }

    private static boolean isEnd(int token, int[] ends) {
        for (int end : ends) {
            if (end == token) {
                return true;
            }
        }
        return false;
    }

    private long[] mask() {
        try {
            return states.mask(state);
        } catch (GrammarException e) {
            throw RuntimeFault.invalid("grammar", e.getMessage());
        }
    }

    /** Goes on behind a token that {@link #apply} left, or that ends the output. */
    public void advance(int token) {
        if (vocabulary.endTokens().contains(token)) {
            return;
        }
        try {
            state = states.after(state, vocabulary.bytes().apply(token));
        } catch (GrammarException e) {
            throw RuntimeFault.invalid("grammar", e.getMessage());
        }
        States.State next = state;
        if (states.needsMask(next)) {
            executor.execute(() -> {
                try {
                    states.mask(next);
                } catch (GrammarException e) {
                    // Comes again where the mask is asked for.
                }
            });
        }
    }

    /** Whether the output matches and cannot go on. */
    public boolean complete() {
        return state.accepts() && !state.goesOn();
    }
}
