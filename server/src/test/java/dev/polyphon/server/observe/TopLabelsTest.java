package dev.polyphon.server.observe;

import static org.assertj.core.api.Assertions.assertThat;

import io.prometheus.metrics.core.metrics.Counter;
import java.util.HashSet;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import net.jqwik.api.constraints.Size;
import org.junit.jupiter.api.Test;

class TopLabelsTest {
    private static final long MINUTE = 60_000_000_000L;

    private final AtomicLong now = new AtomicLong(Long.MAX_VALUE - 3 * MINUTE);

    private static void count(TopLabels labels, String name, int times) {
        for (int i = 0; i < times; i++) {
            labels.of(name);
            labels.count(name);
        }
    }

    @Test
    void namesTakePlacesAsTheyCome() {
        var labels = new TopLabels(2, now::get);
        assertThat(List.of(labels.of("a"), labels.of("b"), labels.of("c"), labels.of("a"), labels.of(""))).containsExactly("a", "b", "other", "a", "");
        assertThat(new TopLabels(0, now::get).of("a")).isEqualTo("other");
    }

    @Test
    void aBusierNameTakesAPlaceOverAndTheOldSeriesGo() {
        var labels = new TopLabels(2, now::get);
        Counter counter = labels.bind(Counter.builder().name("c").labelNames("kind", "name").build(), 1);
        count(labels, "a", 10);
        count(labels, "b", 3);
        count(labels, "c", 5);
        count(labels, "d", 7);
        for (String name : List.of("a", "b", "c", "")) {
            counter.labelValues("k", labels.of(name)).inc();
        }
        now.addAndGet(MINUTE);
        labels.count("a");
        assertThat(List.of(labels.of("a"), labels.of("b"), labels.of("c"), labels.of("d"))).containsExactly("a", "other", "other", "d");
        assertThat(counter.collect().getDataPoints()).extracting(point -> point.getLabels().get("name")).containsExactlyInAnyOrder("a", "other", "");
        now.addAndGet(MINUTE);
        count(labels, "c", 7);
        assertThat(labels.of("c")).as("not twice as busy as any that has a place").isEqualTo("other");
        now.addAndGet(MINUTE);
        count(labels, "c", 30);
        now.addAndGet(MINUTE);
        labels.count("c");
        assertThat(labels.of("c")).isEqualTo("c");
    }

    @Property(tries = 200)
    void labelsAreBoundedAndTheBusiestHasItsOwn(
            @ForAll @IntRange(min = 1, max = 5) int most, @ForAll @Size(max = 200) List<@IntRange(min = 0, max = 30) Integer> names) {
        var clock = new AtomicLong();
        var labels = new TopLabels(most, clock::get);
        for (int round = 0; round < 3; round++) {
            names.forEach(name -> count(labels, "n" + name, 1));
            count(labels, "busy", 2 * names.size() + 1);
            clock.addAndGet(MINUTE);
            labels.count("busy");
        }
        var seen = new HashSet<String>();
        names.forEach(name -> seen.add(labels.of("n" + name)));
        assertThat(labels.of("busy")).isEqualTo("busy");
        seen.remove("other");
        assertThat(seen.size()).isLessThan(Math.max(most, 1) + 1);
    }
}
