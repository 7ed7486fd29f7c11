package dev.polyphon.engine.sample;

import dev.polyphon.engine.backend.Draw;
import dev.polyphon.engine.sample.grammar.Constraint;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.runtime.Sampling;
import dev.polyphon.runtime.TokenLogprobs;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Map;

/**
 * Chooses the tokens of one sequence. What it chooses depends on its parameters, its seed, the logits and its own earlier choices alone: draw
 * {@code i} is a hash of (seed, i), so neighbours in the batch, preemption and recomputation change nothing. One call at a time, on any platform
 * thread: each thread keeps scratch as large as a row.
 */
public final class Sampler {
    private static final ThreadLocal<Scratch> SCRATCH = ThreadLocal.withInitial(Scratch::new);

    private final Sampling params;
    private final Vocabulary vocabulary;
    private final long seed;
    private final int[] biased;
    private final float[] biases;
    private final int[] ends;
    /** Null when nothing is penalised. */
    private final TokenCounts seen;
    /** Null when the output may be anything. */
    private final Constraint constraint;
    private int generated;

    /**
     * @param seed of the draws; {@link Sampling#seed} is not looked at
     * @param prompt its tokens, for the repetition penalty; not kept
     * @throws RuntimeFault of kind INVALID, naming the parameter that is out of its range
     */
    public Sampler(Sampling params, long seed, int[] prompt, Vocabulary vocabulary) {
        this(params, seed, prompt, vocabulary, null);
    }

    /** @param constraint of the output's grammar, this sampler's own; null when it may be anything */
    public Sampler(Sampling params, long seed, int[] prompt, Vocabulary vocabulary, Constraint constraint) {
        this.constraint = constraint;
        SamplingRules.check(params, vocabulary.size());
        this.params = params;
        this.vocabulary = vocabulary;
        this.seed = seed;
        biased = new int[params.logitBias().size()];
        biases = new float[biased.length];
        int next = 0;
        for (Map.Entry<Integer, Float> bias : params.logitBias().entrySet()) {
            biased[next] = bias.getKey();
            biases[next++] = bias.getValue();
        }
        ends = Stopping.ends(params, vocabulary.endTokens()).stream().mapToInt(Integer::intValue).filter(this::inVocabulary).toArray();
        boolean penalised = params.repetitionPenalty() != 1 || params.presencePenalty() != 0 || params.frequencyPenalty() != 0;
        seen = penalised ? new TokenCounts() : null;
        if (params.repetitionPenalty() != 1) {
            Arrays.stream(prompt).filter(this::inVocabulary).forEach(seen::see);
        }
    }

    private boolean inVocabulary(int token) {
        return token >= 0 && token < vocabulary.size();
    }

    /**
     * Chooses the next token and counts it as generated.
     *
     * @param logits raw logits of the vocabulary, from {@code from} on; not changed. Negative infinity is a token that cannot be chosen.
     * @throws RuntimeFault of kind INTERNAL when no token can be chosen: a logit is NaN or positive infinity, or all are negative infinity; the
     *     sequence is at fault, other ones are not affected
     */
    public Choice next(float[] logits, int from) {
        int size = vocabulary.size();
        if (from < 0 || from > logits.length - size) {
            throw new IllegalArgumentException("a row of " + size + " logits at " + from + " does not fit into " + logits.length);
        }
        var scratch = SCRATCH.get();
        boolean masked = generated < params.minTokens() && ends.length > 0;
        int token;
        if (masked || biased.length > 0 || constraint != null || seen != null && seen.size() > 0) {
            var row = scratch.row(size);
            System.arraycopy(logits, from, row, 0, size);
            adjust(row, masked);
            token = choose(row, 0, scratch);
        } else {
            token = choose(logits, from, scratch);
        }
        var logprobs = params.logprobs() < 0 ? null : logprobs(logits, from, token, params.logprobs(), vocabulary);
        if (seen != null) {
            seen.generate(token);
        }
        if (constraint != null) {
            constraint.advance(token);
        }
        generated++;
        return new Choice(token, logprobs);
    }

    /** Whether the output is whole by its grammar and can only end. */
    public boolean complete() {
        return constraint != null && constraint.complete();
    }

    /**
     * How a device may choose the next token, or null when only {@link #next} can: something depends on what was generated, or more than the token is
     * wanted.
     */
    public Draw draw() {
        boolean masked = generated < params.minTokens() && ends.length > 0;
        if (masked || biased.length > 0 || constraint != null || seen != null || params.logprobs() >= 0) {
            return null;
        }
        return new Draw(params.temperature(), params.topK(), params.topP(), params.minP(), uniform());
    }

    /**
     * Counts a token that a device chose by {@link #draw}.
     *
     * @throws RuntimeFault of kind INTERNAL when it is -1: none could be chosen
     */
    public Choice chosen(int token) {
        if (!inVocabulary(token)) {
            throw RuntimeFault.of(RuntimeFault.Kind.INTERNAL, "no token can be chosen: a logit is NaN or infinite, or all are negative infinity");
        }
        generated++;
        return new Choice(token, null);
    }

    private void adjust(float[] row, boolean masked) {
        for (int i = 0; i < biased.length; i++) {
            row[biased[i]] += biases[i];
        }
        if (seen != null) {
            penalise(row);
        }
        if (constraint != null) {
            constraint.apply(row, ends);
        }
        if (masked) {
            for (int end : ends) {
                row[end] = Float.NEGATIVE_INFINITY;
            }
        }
    }

    private void penalise(float[] row) {
        float repetition = params.repetitionPenalty();
        for (int i = 0; i < seen.size(); i++) {
            int token = seen.token(i);
            int count = seen.count(i);
            float logit = row[token];
            logit = logit > 0 ? logit / repetition : logit * repetition;
            if (count > 0) {
                logit -= params.presencePenalty() + params.frequencyPenalty() * count;
            }
            row[token] = logit;
        }
    }

    private int choose(float[] row, int from, Scratch scratch) {
        int size = vocabulary.size();
        float temperature = params.temperature();
        if (temperature == 0) {
            return Logits.argmax(row, from, size);
        }
        float max = Logits.max(row, from, size);
        double lowest = params.minP() > 0 ? max + temperature * Math.log(params.minP()) : Double.NEGATIVE_INFINITY;
        Shortlist.Weights weights = (token, logit) -> Math.exp(((double) logit - max) / temperature);
        var shortlist = scratch.shortlist;
        if (params.topK() > 0 && params.topK() < size) {
            shortlist.best(row, from, size, params.topK());
            if (params.topP() < 1) {
                shortlist.keepWeight(params.topP() * sum(shortlist, weights), weights);
            }
            shortlist.dropBelow(lowest);
        } else if (params.topP() < 1) {
            var computed = scratch.weights(size);
            double sum = Logits.exponentials(row, from, size, max, scale(), computed, scratch.sums(size));
            // Tokens lighter than their even share of what may be dropped are droppable all together.
            double cut = max + temperature * Math.log((1.0 - params.topP()) * sum / size);
            shortlist.atLeast(row, from, size, Math.min(cut, max));
            shortlist.keepWeight(params.topP() * sum, (token, logit) -> computed[token]);
            shortlist.dropBelow(lowest);
        } else if (params.minP() > 0) {
            shortlist.atLeast(row, from, size, lowest);
        } else {
            return drawAll(row, from, max, scratch);
        }
        return draw(shortlist, weights);
    }

    private static double sum(Shortlist shortlist, Shortlist.Weights weights) {
        double sum = 0;
        for (int i = 0; i < shortlist.size(); i++) {
            sum += weights.of(shortlist.token(i), shortlist.logit(i));
        }
        return sum;
    }

    private int draw(Shortlist shortlist, Shortlist.Weights weights) {
        double left = uniform() * sum(shortlist, weights);
        int token = -1;
        for (int i = 0; i < shortlist.size(); i++) {
            double weight = weights.of(shortlist.token(i), shortlist.logit(i));
            if (weight > 0) {
                token = shortlist.token(i);
                left -= weight;
                if (left < 0) {
                    break;
                }
            }
        }
        return token;
    }

    private int drawAll(float[] row, int from, float max, Scratch scratch) {
        int size = vocabulary.size();
        var weights = scratch.weights(size);
        var sums = scratch.sums(size);
        double left = uniform() * Logits.exponentials(row, from, size, max, scale(), weights, sums);
        int chosen = -1;
        for (int block = 0; block < Logits.blocks(size); block++) {
            if (sums[block] > 0) {
                chosen = block;
                if (left < sums[block]) {
                    break;
                }
                left -= sums[block];
            }
        }
        int token = -1;
        for (int i = chosen * Logits.BLOCK; i < Math.min(size, (chosen + 1) * Logits.BLOCK); i++) {
            if (weights[i] > 0) {
                token = i;
                left -= weights[i];
                if (left < 0) {
                    break;
                }
            }
        }
        return token;
    }

    /** Finite, so that no difference of 0 becomes NaN. */
    private float scale() {
        return Math.min(1 / params.temperature(), Float.MAX_VALUE);
    }

    /** Draw number {@link #generated} of this seed, from [0, 1). */
    private double uniform() {
        return (mix(mix(seed) + generated * 0x9e3779b97f4a7c15L) >>> 11) * 0x1p-53;
    }

    /** The finaliser of SplitMix64 (Steele, Lea and Flood 2014). */
    private static long mix(long z) {
        z = (z ^ z >>> 30) * 0xbf58476d1ce4e5b9L;
        z = (z ^ z >>> 27) * 0x94d049bb133111ebL;
        return z ^ z >>> 31;
    }

    /**
     * How likely a token is.
     *
     * @param logits raw logits of the vocabulary, from {@code from} on; not changed
     * @param most most likely tokens beside it
     * @throws RuntimeFault of kind INTERNAL when a logit is NaN or positive infinity, or all are negative infinity
     */
    public static TokenLogprobs logprobs(float[] logits, int from, int token, int most, Vocabulary vocabulary) {
        var scratch = SCRATCH.get();
        int size = vocabulary.size();
        float max = Logits.max(logits, from, size);
        double logSum = max + Math.log(Logits.exponentials(logits, from, size, max, 1, scratch.weights(size), scratch.sums(size)));
        int wanted = Math.min(most, size);
        var top = new ArrayList<TokenLogprobs.Entry>(wanted);
        if (wanted > 0) {
            var best = scratch.shortlist;
            best.best(logits, from, size, wanted);
            best.sort();
            for (int i = 0; i < best.size(); i++) {
                top.add(entry(best.token(i), best.logit(i) - logSum, vocabulary));
            }
        }
        return new TokenLogprobs(entry(token, logits[from + token] - logSum, vocabulary), top);
    }

    private static TokenLogprobs.Entry entry(int token, double logprob, Vocabulary vocabulary) {
        return new TokenLogprobs.Entry(token, vocabulary.bytes().apply(token), (float) logprob);
    }

    private static final class Scratch {
        private final Shortlist shortlist = new Shortlist();
        private float[] row = {};
        private float[] weights = {};
        private double[] sums = {};

        private float[] row(int size) {
            if (row.length < size) {
                row = new float[size];
            }
            return row;
        }

        private float[] weights(int size) {
            if (weights.length < size) {
                weights = new float[size];
            }
            return weights;
        }

        private double[] sums(int size) {
            if (sums.length < Logits.blocks(size)) {
                sums = new double[Logits.blocks(size)];
            }
            return sums;
        }
    }
}
