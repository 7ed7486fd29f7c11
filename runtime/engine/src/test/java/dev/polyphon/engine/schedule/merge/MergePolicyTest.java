package dev.polyphon.engine.schedule.merge;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polyphon.runtime.AdapterWeight;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import net.jqwik.api.Arbitraries;
import net.jqwik.api.Arbitrary;
import net.jqwik.api.Combinators;
import net.jqwik.api.Example;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.Provide;

/** The policy over windows of made-up demand and savings. */
class MergePolicyTest {
    private static final Duration WINDOW = Duration.ofSeconds(10);
    private static final long STEP = WINDOW.toNanos();
    private static final MergeTarget A = new MergeTarget("", List.of(new AdapterWeight("a")));
    private static final MergeTarget B = new MergeTarget("", List.of(new AdapterWeight("b")));

    /** @param saving what measuring would say */
    record Weather(double share, double saving) {}

    /** Plays the engine's part in one window after the other: what happened when, merges as m and unmerges as u, others as a dot. */
    private static String play(List<Weather> windows, long costNanos) {
        MergePolicy policy = new MergePolicy(0.5, 0.03, WINDOW);
        StringBuilder events = new StringBuilder();
        boolean merged = false;
        long now = -7 * STEP;
        for (Weather weather : windows) {
            now += STEP;
            policy.window(Map.of(A, weather.share), now);
            char event = '.';
            if (merged && !policy.keeps(A, weather.share, weather.saving, now)) {
                merged = false;
                event = 'u';
            } else if (!merged && policy.candidate(A, now) && policy.pays(A, weather.saving, costNanos, now)) {
                merged = true;
                event = 'm';
            }
            events.append(event);
        }
        return events.toString();
    }

    private static List<Weather> times(int count, double share, double saving) {
        return java.util.Collections.nCopies(count, new Weather(share, saving));
    }

    @SafeVarargs
    private static List<Weather> all(List<Weather>... parts) {
        return java.util.stream.Stream.of(parts).flatMap(List::stream).toList();
    }

    @Example
    void mergesSteadyDemandOnceAndLetsGoWhenItEnds() {
        assertThat(play(all(times(6, 0.9, 0.2), times(4, 0, 0)), 1000)).isEqualTo(".m.....u..");
        assertThat(play(times(200, 1, 0.2), 1000)).matches("\\.m\\.{198}");
    }

    @Example
    void leavesAloneWhatIsColdOrGainsTooLittle() {
        assertThat(play(times(50, 0.4, 0.5), 1000)).doesNotContain("m");
        assertThat(play(times(50, 1, 0.02), 1000)).doesNotContain("m");
        assertThat(play(times(50, 1, -0.3), 1000)).doesNotContain("m");
    }

    @Example
    void waitsUntilTheDemandHasBeenThereForLongEnoughToPayTheCopy() {
        // 10 % of a window's 10 s pay a copy of 8 s after eight windows; it is asked at 2 and then, having rested, at 4 and 8.
        assertThat(play(times(20, 1, 0.1), 8_000_000_000L).indexOf('m')).isBetween(7, 12);
    }

    @Example
    void aSingleBadWindowUndoesNothing() {
        assertThat(play(all(times(4, 1, 0.1), times(1, 0, 0), times(4, 1, 0.1), times(1, 1, -0.5), times(4, 1, 0.1)), 1000)).matches("\\.m\\.{12}");
    }

    @Example
    void adaptersAreJudgedEachForItself() {
        MergePolicy policy = new MergePolicy(0.4, 0.03, WINDOW);
        for (int i = 1; i <= 2; i++) {
            policy.window(Map.of(A, 0.5, B, 0.5), i * STEP);
        }
        assertThat(policy.pays(A, -1, 0, 2 * STEP)).isFalse();
        assertThat(policy.candidate(A, 2 * STEP)).isFalse();
        assertThat(policy.candidate(B, 2 * STEP)).isTrue();
    }

    @Provide
    Arbitrary<List<Weather>> weather() {
        return Combinators.combine(Arbitraries.doubles().between(0, 1), Arbitraries.doubles().between(-0.5, 0.5)).as(Weather::new).list().ofMinSize(1).ofMaxSize(400);
    }

    /** Whatever comes, an adapter that is unmerged soon after it was merged is left alone for ever longer, as long as it is remembered. */
    @Property(tries = 300)
    void neverFlaps(@ForAll("weather") List<Weather> windows) {
        String events = play(windows, 1000);
        List<Integer> merges = new ArrayList<>();
        for (int i = 0; i < events.length(); i++) {
            if (events.charAt(i) == 'm') {
                merges.add(i);
            } else if (events.charAt(i) == 'u') {
                assertThat(i - merges.getLast()).as(events).isGreaterThanOrEqualTo(2);
            }
        }
        int rest = 2;
        for (int i = 1; i < merges.size(); i++) {
            int unmerged = events.indexOf("u", merges.get(i - 1));
            rest = unmerged - merges.get(i - 1) > 64 ? 2 : rest;
            assertThat(merges.get(i) - unmerged).as(events).isGreaterThanOrEqualTo(rest);
            boolean forgotten = merges.get(i) - unmerged > rest + 64;
            rest = forgotten ? 2 : Math.min(64, 2 * rest);
        }
    }
}
