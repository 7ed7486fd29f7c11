package dev.polyphon.bench;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.util.Arrays;
import java.util.Random;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import net.jqwik.api.constraints.Size;
import org.junit.jupiter.api.Test;

class StatisticsTest {
    @Property
    void aPercentileIsTheLeastValueThatEnoughDoNotExceed(@ForAll @Size(min = 1, max = 50) int[] values, @ForAll @IntRange(min = 1, max = 100) int p) {
        double[] sorted = Arrays.stream(values).asDoubleStream().sorted().toArray();
        double rank = Report.rank(sorted, p);
        assertThat(Arrays.stream(sorted).filter(v -> v <= rank).count() * 100.0).isGreaterThanOrEqualTo(p * sorted.length - 1e-6);
        assertThat(Arrays.stream(sorted).filter(v -> v < rank).count() * 100.0).isLessThan(p * sorted.length);
    }

    @Test
    void popularityFollowsZipfsLaw() {
        var zipf = new Zipf(4, 1);
        int[] counts = new int[4];
        var random = new Random(1);
        for (int i = 0; i < 100_000; i++) {
            counts[zipf.next(random)]++;
        }
        double sum = 1 + 1 / 2.0 + 1 / 3.0 + 1 / 4.0;
        for (int k = 0; k < 4; k++) {
            assertThat(counts[k] / 100_000.0).isCloseTo(1 / (k + 1.0) / sum, within(0.01));
        }
    }

    @Test
    void arrivalsHaveAMeanOfOne() {
        var random = new Random(2);
        double[] gaps = new double[100_000];
        Arrays.setAll(gaps, i -> Load.exponential(random));
        assertThat(Arrays.stream(gaps).average().orElseThrow()).isCloseTo(1, within(0.02));
        // Of an exponential distribution, and of no other, e^-1 lies beyond the mean and e^-2 beyond twice the mean.
        assertThat(Arrays.stream(gaps).filter(g -> g > 1).count() / 1e5).isCloseTo(Math.exp(-1), within(0.01));
        assertThat(Arrays.stream(gaps).filter(g -> g > 2).count() / 1e5).isCloseTo(Math.exp(-2), within(0.01));
    }

    @Test
    void promptsAreTheSameForTheSameSeed() {
        assertThat(new Prompts(3).prompt(7, 20)).isEqualTo(new Prompts(3).prompt(7, 20)).isNotEqualTo(new Prompts(3).prompt(8, 20));
        assertThat(new Prompts(3).prompt(7, 20).split(" ")).hasSize(20);
    }
}
