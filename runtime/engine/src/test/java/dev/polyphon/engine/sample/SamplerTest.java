package dev.polyphon.engine.sample;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.runtime.Sampling;
import dev.polyphon.runtime.TokenLogprobs;
import java.util.Arrays;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class SamplerTest {
    private static final int[] NO_PROMPT = {};

    private static Vocabulary vocabulary(int size, Integer... ends) {
        return new Vocabulary(size, Set.of(ends), token -> new byte[] {(byte) token});
    }

    private static Sampling.Builder greedy() {
        return Sampling.builder().temperature(0);
    }

    private static Sampler sampler(Sampling.Builder params, long seed, int size) {
        return new Sampler(params.build(), seed, NO_PROMPT, vocabulary(size));
    }

    private static float[] random(long seed, int size, float spread) {
        var random = new Random(seed);
        var logits = new float[size];
        for (int i = 0; i < size; i++) {
            logits[i] = (float) random.nextGaussian() * spread;
        }
        return logits;
    }

    private static int[] counts(Sampler sampler, float[] logits, int draws) {
        var counts = new int[logits.length];
        for (int i = 0; i < draws; i++) {
            counts[sampler.next(logits, 0).token()]++;
        }
        return counts;
    }

    /** Pearson's statistic, turned into a standard normal by Wilson and Hilferty's cube root. */
    private static double deviation(int[] counts, double[] probabilities) {
        double draws = Arrays.stream(counts).sum();
        double statistic = 0;
        int freedom = -1;
        for (int i = 0; i < counts.length; i++) {
            double expected = probabilities[i] * draws;
            if (expected == 0) {
                assertThat(counts[i]).isZero();
                continue;
            }
            statistic += (counts[i] - expected) * (counts[i] - expected) / expected;
            freedom++;
        }
        double spread = 2.0 / (9 * freedom);
        return (Math.cbrt(statistic / freedom) - (1 - spread)) / Math.sqrt(spread);
    }

    private static double[] softmax(float[] logits, double temperature) {
        double max = Double.NEGATIVE_INFINITY;
        for (float logit : logits) {
            max = Math.max(max, logit);
        }
        double highest = max;
        double[] weights = IntStream.range(0, logits.length).mapToDouble(i -> Math.exp((logits[i] - highest) / temperature)).toArray();
        double sum = Arrays.stream(weights).sum();
        return Arrays.stream(weights).map(weight -> weight / sum).toArray();
    }

    @Test
    void greedyTakesTheGreatestAndTheLowestOfEquals() {
        for (int size : new int[] {1, 2, 7, 16, 511, 512, 513, 1500, 4099}) {
            var logits = random(size, size, 3);
            for (int place : new int[] {0, size / 3, size / 2, size - 1}) {
                var row = logits.clone();
                row[place] = 50;
                row[size - 1] = 50;
                assertThat(sampler(greedy(), 0, size).next(row, 0).token()).as("size %d", size).isEqualTo(place);
            }
        }
    }

    @Test
    void greedyTakesNegativeZeroAndZeroAsEqual() {
        assertThat(sampler(greedy(), 0, 3).next(new float[] {-1, -0f, 0f}, 0).token()).isEqualTo(1);
    }

    @Test
    void readsItsOwnRowAndChangesNothing() {
        var rows = random(1, 3000, 2);
        var before = rows.clone();
        var own = Arrays.copyOfRange(rows, 1000, 2000);
        var params = Sampling.builder().topK(40).topP(0.9f).minP(0.01f).repetitionPenalty(1.2f).frequencyPenalty(0.1f).logitBias(Map.of(3, 4f))
                .minTokens(5).logprobs(3);
        var inBatch = new Sampler(params.build(), 7, new int[] {1, 2}, vocabulary(1000, 5));
        var alone = new Sampler(params.build(), 7, new int[] {1, 2}, vocabulary(1000, 5));
        for (int i = 0; i < 50; i++) {
            assertThat(inBatch.next(rows, 1000).token()).isEqualTo(alone.next(own, 0).token());
            assertThat(rows).isEqualTo(before);
            rows[0] = before[0] = i;
            rows[2000] = before[2000] = -i;
        }
    }

    @Test
    void aRowOutsideTheArrayIsRefused() {
        var sampler = sampler(greedy(), 0, 4);
        assertThatThrownBy(() -> sampler.next(new float[7], 4)).isInstanceOf(IllegalArgumentException.class).hasMessageContaining("4");
        assertThatThrownBy(() -> sampler.next(new float[7], -1)).isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void drawsFollowTheDistribution() {
        var logits = random(2, 40, 1.5f);
        for (float temperature : new float[] {0.5f, 1, 3}) {
            for (long seed = 0; seed < 3; seed++) {
                var counts = counts(sampler(Sampling.builder().temperature(temperature), seed, 40), logits, 100_000);
                assertThat(deviation(counts, softmax(logits, temperature))).isLessThan(3.5);
            }
        }
    }

    @Test
    void drawsFollowTheDistributionAcrossBlocks() {
        // Four tokens in different blocks and the tail hold nearly all of the probability.
        var logits = new float[1500];
        Arrays.fill(logits, -40);
        logits[3] = 1;
        logits[600] = 2;
        logits[1023] = 0;
        logits[1499] = 1.5f;
        var counts = counts(sampler(Sampling.builder(), 5, 1500), logits, 50_000);
        var places = new int[] {3, 600, 1023, 1499};
        var kept = Arrays.stream(places).map(i -> counts[i]).toArray();
        assertThat(Arrays.stream(kept).sum()).isEqualTo(50_000);
        assertThat(deviation(kept, softmax(new float[] {1, 2, 0, 1.5f}, 1))).isLessThan(3.5);
    }

    @Test
    void truncatedDrawsFollowTheRenormalisedDistribution() {
        var logits = random(3, 60, 1);
        for (var params : new Sampling.Builder[] {Sampling.builder().topK(8), Sampling.builder().topP(0.8f), Sampling.builder().minP(0.1f),
                Sampling.builder().topK(20).topP(0.7f).minP(0.05f).temperature(1.7f)}) {
            var built = params.build();
            var reference = new ReferenceTruncation(logits, built).probabilities();
            assertThat(deviation(counts(new Sampler(built, 11, NO_PROMPT, vocabulary(60)), logits, 100_000), reference)).isLessThan(3.5);
        }
    }

    @Test
    void aDrawDependsOnSeedAndPlaceAlone() {
        var first = random(4, 100, 2);
        var second = random(5, 100, 2);
        var one = sampler(Sampling.builder(), 42, 100);
        var other = sampler(Sampling.builder(), 42, 100);
        // What the others chose, or from which logits, does not shift the draws.
        one.next(first, 0);
        other.next(second, 0);
        for (int i = 0; i < 20; i++) {
            var row = random(100 + i, 100, 2);
            assertThat(one.next(row, 0).token()).isEqualTo(other.next(row, 0).token());
        }
    }

    @Test
    void neighbouringSeedsAndDrawsAreIndependent() {
        var even = new float[2];
        var joint = new int[8];
        for (int seed = 0; seed < 40_000; seed++) {
            var one = sampler(Sampling.builder(), seed, 2);
            var next = sampler(Sampling.builder(), seed + 1, 2);
            joint[one.next(even, 0).token() * 4 + one.next(even, 0).token() * 2 + next.next(even, 0).token()]++;
        }
        var expected = new double[8];
        Arrays.fill(expected, 1 / 8.0);
        assertThat(deviation(joint, expected)).isLessThan(3.5);
    }

    @Test
    void penaltiesAreAsTheFormulaSays() {
        var logits = random(6, 30, 3);
        int[] prompt = {1, 2, 2, 3, 29, -1, 30};
        var params = Sampling.builder().temperature(1).repetitionPenalty(1.3f).presencePenalty(0.4f).frequencyPenalty(0.25f).logitBias(Map.of(2, 1f, 9, 2f))
                .build();
        var sampler = new Sampler(params, 3, prompt, vocabulary(30));
        var mirror = sampler(Sampling.builder(), 3, 30);
        var counts = new int[30];
        for (int step = 0; step < 200; step++) {
            var expected = logits.clone();
            expected[2] += 1;
            expected[9] += 2;
            for (int i = 0; i < 30; i++) {
                if (counts[i] > 0 || i >= 1 && i <= 3 || i == 29) {
                    expected[i] = expected[i] > 0 ? expected[i] / 1.3f : expected[i] * 1.3f;
                }
                if (counts[i] > 0) {
                    expected[i] -= 0.4f + 0.25f * counts[i];
                }
            }
            int token = sampler.next(logits, 0).token();
            assertThat(token).isEqualTo(mirror.next(expected, 0).token());
            counts[token]++;
        }
    }

    @Test
    void presenceAndFrequencyLeaveThePromptAlone() {
        var params = greedy().presencePenalty(2).frequencyPenalty(2).build();
        var sampler = new Sampler(params, 0, new int[] {1, 1, 1}, vocabulary(3));
        var logits = new float[] {0, 3, 1};
        assertThat(sampler.next(logits, 0).token()).isEqualTo(1);
        assertThat(sampler.next(logits, 0).token()).isEqualTo(2);
        assertThat(sampler.next(logits, 0).token()).isEqualTo(0);
    }

    @Test
    void countsHoldManyTokens() {
        var sampler = sampler(greedy().presencePenalty(1000), 0, 5000);
        var logits = new float[5000];
        var chosen = IntStream.range(0, 5000).map(i -> sampler.next(logits, 0).token()).toArray();
        assertThat(chosen).containsExactly(IntStream.range(0, 5000).toArray());
    }

    @Test
    void biasOfAHundredForcesAndForbids() {
        var logits = random(7, 50, 3);
        assertThat(counts(sampler(Sampling.builder().logitBias(Map.of(17, 100f)), 1, 50), logits, 1000)[17]).isEqualTo(1000);
        assertThat(sampler(greedy().logitBias(Map.of(17, 100f)), 1, 50).next(logits, 0).token()).isEqualTo(17);
        int best = sampler(greedy(), 1, 50).next(logits, 0).token();
        assertThat(counts(sampler(Sampling.builder().logitBias(Map.of(best, -100f)), 1, 50), logits, 1000)[best]).isZero();
    }

    @Test
    void noEndBeforeMinTokens() {
        var logits = new float[] {9, 10, 1, 2};
        var params = greedy().minTokens(3).stopTokens(Set.of(1));
        var sampler = new Sampler(params.build(), 0, NO_PROMPT, vocabulary(4, 0));
        assertThat(IntStream.range(0, 4).map(i -> sampler.next(logits, 0).token())).containsExactly(3, 3, 3, 1);
        // Tokens that do not end the output are not held back.
        var ignoring = new Sampler(params.ignoreEos(true).build(), 0, NO_PROMPT, vocabulary(4, 0));
        assertThat(IntStream.range(0, 4).map(i -> ignoring.next(logits, 0).token())).containsExactly(0, 0, 0, 1);
    }

    @Test
    void logprobsAreOfTheRawLogits() {
        var logits = random(8, 700, 3);
        logits[10] = logits[5] = 20;
        var params = Sampling.builder().temperature(0.3f).topK(5).logprobs(700).logitBias(Map.of(1, 100f)).build();
        var choice = new Sampler(params, 9, NO_PROMPT, vocabulary(700)).next(logits, 0);
        assertThat(choice.token()).isEqualTo(1);
        var softmax = softmax(logits, 1);
        var entries = choice.logprobs().top();
        assertThat(entries).hasSize(700);
        assertThat(entries).extracting(TokenLogprobs.Entry::token).startsWith(5, 10).doesNotHaveDuplicates();
        assertThat(entries.stream().mapToDouble(entry -> Math.exp(entry.logprob())).sum()).isCloseTo(1, within(1e-5));
        for (int i = 0; i < 700; i++) {
            var entry = entries.get(i);
            assertThat((double) entry.logprob()).isCloseTo(Math.log(softmax[entry.token()]), within(1e-4));
            assertThat(entry.bytes()).containsExactly((byte) entry.token());
            assertThat(i == 0 || entries.get(i - 1).logprob() >= entry.logprob()).isTrue();
        }
        assertThat(choice.logprobs().chosen().token()).isEqualTo(1);
        assertThat((double) choice.logprobs().chosen().logprob()).isCloseTo(Math.log(softmax[1]), within(1e-4));
    }

    @Test
    void logprobsOnlyWhenAsked() {
        var logits = random(9, 20, 1);
        assertThat(sampler(greedy(), 0, 20).next(logits, 0).logprobs()).isNull();
        assertThat(sampler(greedy().logprobs(0), 0, 20).next(logits, 0).logprobs().top()).isEmpty();
        assertThat(sampler(greedy().logprobs(Integer.MAX_VALUE), 0, 20).next(logits, 0).logprobs().top()).hasSize(20);
    }

    @Test
    void brokenLogitsFailTheSequence() {
        for (int size : new int[] {3, 600, 1301}) {
            for (int place : new int[] {0, size / 2, size - 1}) {
                for (var params : new Sampling.Builder[] {greedy(), Sampling.builder(), Sampling.builder().topK(2), Sampling.builder().topP(0.5f),
                        greedy().logprobs(1), Sampling.builder().repetitionPenalty(2)}) {
                    for (float broken : new float[] {Float.NaN, Float.POSITIVE_INFINITY}) {
                        var logits = random(10, size, 1);
                        logits[place] = broken;
                        assertThatThrownBy(() -> sampler(params, 0, size).next(logits, 0)).isInstanceOf(RuntimeFault.class)
                                .hasMessageContaining("token " + place + " is " + broken);
                    }
                }
            }
        }
        var nothing = new float[20];
        Arrays.fill(nothing, Float.NEGATIVE_INFINITY);
        assertThatThrownBy(() -> sampler(greedy(), 0, 20).next(nothing, 0)).isInstanceOf(RuntimeFault.class).hasMessageContaining("negative infinity");
        assertThatThrownBy(() -> sampler(Sampling.builder(), 0, 20).next(nothing, 0)).isInstanceOf(RuntimeFault.class);
    }

    @Test
    void negativeInfinityIsNeverChosen() {
        var logits = new float[600];
        Arrays.fill(logits, Float.NEGATIVE_INFINITY);
        logits[570] = -3;
        logits[12] = -3;
        for (var params : new Sampling.Builder[] {Sampling.builder(), Sampling.builder().topK(5), Sampling.builder().topP(0.99f), Sampling.builder().minP(0.1f),
                Sampling.builder().temperature(Float.MAX_VALUE), Sampling.builder().temperature(Float.MIN_VALUE)}) {
            var counts = counts(sampler(params, 3, 600), logits, 2000);
            assertThat(counts[12]).isBetween(900, 1100);
            assertThat(counts[12] + counts[570]).isEqualTo(2000);
        }
    }

    @Test
    void parametersOutOfRangeAreNamed() {
        refuses("temperature", params -> params.temperature(-0.1f));
        refuses("temperature", params -> params.temperature(Float.NaN));
        refuses("topK", params -> params.topK(-1));
        refuses("topP", params -> params.topP(1.1f));
        refuses("minP", params -> params.minP(Float.NaN));
        refuses("repetitionPenalty", params -> params.repetitionPenalty(0));
        refuses("presencePenalty", params -> params.presencePenalty(Float.POSITIVE_INFINITY));
        refuses("frequencyPenalty", params -> params.frequencyPenalty(Float.NaN));
        refuses("logitBias", params -> params.logitBias(Map.of(10, 1f)));
        refuses("logitBias", params -> params.logitBias(Map.of(1, Float.NaN)));
        refuses("stopTokens", params -> params.stopTokens(Set.of(-1)));
        refuses("minTokens", params -> params.minTokens(3).maxTokens(2));
        refuses("maxTokens", params -> params.maxTokens(-2));
        refuses("logprobs", params -> params.logprobs(-2));
    }

    private static void refuses(String param, Consumer<Sampling.Builder> change) {
        var params = Sampling.builder();
        change.accept(params);
        assertThatThrownBy(() -> sampler(params, 0, 10)).isInstanceOfSatisfying(RuntimeFault.class, fault -> {
            assertThat(fault.kind()).isEqualTo(RuntimeFault.Kind.INVALID);
            assertThat(fault.param()).contains(param);
            assertThat(fault).hasMessageStartingWith(param + " must be ");
        });
    }
}
