package dev.polyphon.engine.replica;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;

class RoutingTest {
    private record Taken(int replica, int sequences) {}

    @Property(tries = 200)
    void noReplicaHasMuchMoreThanItsPart(@ForAll long seed, @ForAll @IntRange(min = 1, max = 8) int replicas, @ForAll @IntRange(min = 1, max = 20) int keys) {
        Routing routing = new Routing(replicas);
        List<Integer> able = IntStream.range(0, replicas).boxed().toList();
        Random random = new Random(seed);
        List<Taken> taken = new ArrayList<>();
        for (int i = 0; i < 300; i++) {
            if (!taken.isEmpty() && random.nextInt(3) == 0) {
                Taken one = taken.remove(random.nextInt(taken.size()));
                routing.give(one.replica, one.sequences);
                continue;
            }
            int sequences = 1 + random.nextInt(3);
            String key = "k" + random.nextInt(keys);
            int home = Routing.home(key, able);
            int before = routing.load(home);
            int chosen = routing.take(key, able, sequences);
            int total = taken.stream().mapToInt(Taken::sequences).sum() + sequences;
            double most = Math.max(sequences, 1.25 * total / replicas);
            if (before + sequences <= most) {
                assertThat(chosen).as("at home while that has room").isEqualTo(home);
            }
            int least = IntStream.range(0, replicas).map(r -> routing.load(r) - (r == chosen ? sequences : 0)).min().orElseThrow();
            assertThat((double) routing.load(chosen)).as("with room, or at the least loaded").isLessThanOrEqualTo(Math.max(most, least + sequences));
            taken.add(new Taken(chosen, sequences));
        }
        taken.forEach(one -> routing.give(one.replica, one.sequences));
        assertThat(IntStream.range(0, replicas).map(routing::load)).containsOnly(0);
    }

    @Property(tries = 50)
    void keysMoveOnlyFromAReplicaThatIsGone(@ForAll @IntRange(min = 2, max = 8) int replicas, @ForAll @IntRange(max = 7) int gone) {
        List<Integer> all = IntStream.range(0, replicas).boxed().toList();
        List<Integer> left = all.stream().filter(i -> i != gone % replicas).toList();
        for (int i = 0; i < 100; i++) {
            int home = Routing.home("k" + i, all);
            if (home != gone % replicas) {
                assertThat(Routing.home("k" + i, left)).isEqualTo(home);
            }
        }
    }
}
