package dev.polyphon.engine.sample;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polyphon.runtime.Sampling;
import java.util.BitSet;
import java.util.Random;
import java.util.Set;
import java.util.TreeSet;
import net.jqwik.api.Assume;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.FloatRange;
import net.jqwik.api.constraints.IntRange;

/** Partial selection keeps what a full sort keeps. */
class TruncationPropertyTest {

    /** Logits on a grid, so that ties are common. */
    private static float[] logits(long seed, int size, float spread) {
        var random = new Random(seed);
        var logits = new float[size];
        for (int i = 0; i < size; i++) {
            logits[i] = Math.round(random.nextGaussian() * 4 * spread) / 4f;
        }
        return logits;
    }

    @Property(tries = 400)
    void drawsReachWhatAFullSortKeepsAndNothingElse(@ForAll long seed, @ForAll @IntRange(min = 2, max = 40) int size, @ForAll @IntRange(max = 45) int topK,
            @ForAll @FloatRange(min = 0, max = 1) float topP, @ForAll @FloatRange(min = 0, max = 1) float minP,
            @ForAll @FloatRange(min = 0.3f, max = 4) float temperature, @ForAll @IntRange(max = 7) int which) {
        var logits = logits(seed, size, 1);
        var params = Sampling.builder().temperature(temperature).topK((which & 1) == 0 ? 0 : topK).topP((which & 2) == 0 ? 1 : topP)
                .minP((which & 4) == 0 ? 0 : minP * minP).build();
        var reference = new ReferenceTruncation(logits, params);
        Assume.that(reference.margin() > 1e-5);
        var probabilities = reference.probabilities();
        var sampler = new Sampler(params, seed, new int[0], new Vocabulary(size, Set.of(), token -> new byte[0]));
        var drawn = new BitSet();
        for (int i = 0; i < 2000; i++) {
            drawn.set(sampler.next(logits, 0).token());
        }
        for (int i = 0; i < size; i++) {
            if (drawn.get(i)) {
                assertThat(reference.kept()).contains(i);
            } else {
                assertThat(probabilities[i]).as("token %d was never drawn", i).isLessThan(0.02);
            }
        }
    }

    @Property(tries = 300)
    void theBestAreThoseOfASort(@ForAll long seed, @ForAll @IntRange(min = 1, max = 6000) int size, @ForAll @IntRange(min = 1, max = 3000) int count) {
        var logits = logits(seed, size, 3);
        var shortlist = new Shortlist();
        shortlist.best(logits, 0, size, count);
        shortlist.sort();
        var reference = new ReferenceTruncation(logits, Sampling.builder().topK(count).build()).kept();
        assertThat(shortlist.size()).isEqualTo(reference.size());
        for (int i = 0; i < reference.size(); i++) {
            assertThat(shortlist.token(i)).isEqualTo(reference.get(i));
            assertThat(shortlist.logit(i)).isEqualTo(logits[reference.get(i)] + 0f);
        }
    }

    @Property(tries = 300)
    void theNucleusIsThatOfASort(@ForAll long seed, @ForAll @IntRange(min = 1, max = 4000) int size, @ForAll @FloatRange(min = 0, max = 1) float topP,
            @ForAll @FloatRange(min = 0.01f, max = 5) float spread) {
        var logits = logits(seed, size, spread);
        var reference = new ReferenceTruncation(logits, Sampling.builder().topP(topP).build());
        Assume.that(reference.margin() > 1e-9 && topP < 1);
        float max = Logits.max(logits, 0, size);
        var shortlist = new Shortlist();
        shortlist.atLeast(logits, 0, size, Double.NEGATIVE_INFINITY);
        double sum = 0;
        for (float logit : logits) {
            sum += Math.exp(logit - max);
        }
        shortlist.keepWeight(topP * sum, (token, logit) -> Math.exp(logit - max));
        var kept = new TreeSet<Integer>();
        for (int i = 0; i < shortlist.size(); i++) {
            kept.add(shortlist.token(i));
        }
        assertThat(kept).containsExactlyElementsOf(new TreeSet<>(reference.kept()));
    }

    @Property(tries = 200)
    void exponentialsAreThoseOfTheLibrary(@ForAll long seed, @ForAll @IntRange(min = 1, max = 1300) int size,
            @ForAll @FloatRange(min = 0.01f, max = 60) float spread) {
        var logits = logits(seed, size, spread);
        float max = Logits.max(logits, 0, size);
        var weights = new float[size];
        var sums = new double[Logits.blocks(size)];
        double total = Logits.exponentials(logits, 0, size, max, 0.7f, weights, sums);
        double expectedTotal = 0;
        for (int i = 0; i < size; i++) {
            double expected = Math.exp((logits[i] - max) * 0.7f);
            expectedTotal += expected;
            assertThat(Math.abs(weights[i] - expected)).isLessThanOrEqualTo(expected * 3e-7 + 2e-38);
        }
        assertThat(Math.abs(total - expectedTotal)).isLessThan(expectedTotal * 1e-6);
    }
}
