package dev.polyphon.engine.schedule;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.IntStream;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import org.junit.jupiter.api.Test;

class FaultIsolationTest {

    /**
     * Whoever cannot be computed fails, and nobody else, whatever beginnings they share, and though sometimes a step fails without a reason: each position of
     * the others sees what it would see alone, and no block is lost.
     */
    @Property(tries = 1000)
    void whoCannotBeComputedFailsAlone(@ForAll long seed, @ForAll @IntRange(min = 1, max = 12) int maxSequences,
            @ForAll @IntRange(min = 0, max = 60) int extraTokens, @ForAll @IntRange(min = 1, max = 6) int blockSize,
            @ForAll @IntRange(min = 4, max = 80) int blockCount) {
        World crowd = new World(seed, maxSequences, maxSequences + extraTokens, blockSize, blockCount);
        Set<Sequence> guilty = new HashSet<>();
        crowd.fails = part -> part.stream().anyMatch(work -> guilty.contains(work.sequence())) || part.size() > 1 && crowd.random.nextInt(8) == 0;
        int[] start = crowd.random.ints(30, 0, 3).toArray();
        int arrivals = 40;
        for (int i = 0; i < 3000 && (arrivals > 0 || !crowd.goal.isEmpty()); i++) {
            while (arrivals > 0 && crowd.random.nextInt(3) == 0) {
                Standing standing = new Standing("t", "c" + crowd.random.nextInt(2), 1, 0, Long.MAX_VALUE, "s" + crowd.random.nextInt(2));
                Sequence sequence = crowd.arriveAtRandom(standing, start);
                if (crowd.random.nextInt(4) == 0) {
                    guilty.add(sequence);
                }
                arrivals--;
            }
            crowd.step();
        }
        assertThat(crowd.goal).isEmpty();
        assertThat(crowd.failed).isEqualTo(guilty);
        assertThat(crowd.finished).isEqualTo(40 - guilty.size());
        assertThat(crowd.blocks.used()).isZero();
    }

    /** An adapter at fault comes after all others, whose work may go on from what it was to write. */
    @Test
    void whatIsPutBackWithoutAFaultIsNotFound() {
        whoCannotBeComputedFailsAlone(1, 2, 8, 1, 11);
    }

    @Test
    void whoGoesOnFromWhatWasNotComputedIsComputedLater() {
        World world = new World(1, 8, 64, 4, 100);
        int[] prompt = IntStream.range(5, 21).toArray();
        Standing standing = new Standing("c", "c", 1, 0, Long.MAX_VALUE, "s");
        Sequence guilty = world.arrive(new Sequence(prompt, null, standing), 3);
        Sequence next = world.arrive(new Sequence(prompt, null, standing), 3);
        world.fails = part -> part.stream().anyMatch(work -> work.sequence() == guilty);
        world.step();
        assertThat(world.failed).containsExactly(guilty);
        assertThat(world.putBack).isOne();
        assertThat(world.step()).extracting(Work::rows).as("nothing of its prompt is found").containsExactly(16);
        assertThat(next.generated()).isOne();
    }

    @Test
    void anAdapterThatWasAtFaultCostsTheOthersNoMoreAttempts() {
        World world = new World(1, 8, 64, 4, 100);
        Standing standing = new Standing("c", "c", 1, 0, Long.MAX_VALUE, null);
        List<Integer> failures = new ArrayList<>();
        world.fails = part -> {
            boolean fails = part.stream().anyMatch(work -> work.sequence().adapter() == world.adapters.get(1));
            if (fails) {
                failures.add(part.size());
            }
            return fails;
        };
        for (int i = 0; i < 5; i++) {
            world.arrive(new Sequence(new int[3], world.adapters.get(i % 2 * 2), standing), 30);
        }
        for (int i = 0; i < 6; i++) {
            world.arrive(new Sequence(new int[3], world.adapters.get(1), standing), 5);
            world.step();
            world.step();
        }
        assertThat(world.failed).hasSize(6);
        assertThat(failures).as("sizes of what failed").startsWith(6).endsWith(1, 1, 1, 1, 1);
        assertThat(failures).hasSizeLessThan(10);
        while (!world.goal.isEmpty()) {
            world.step();
        }
        assertThat(world.finished).isEqualTo(5);
    }
}
