package dev.polyphon.engine.schedule;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polyphon.engine.model.AdapterWeights;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.stream.IntStream;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import org.junit.jupiter.api.Test;

class SchedulerTest {

    /** A scheduler whose sequences are "computed" by counting, with every invariant checked at every step. */
    private static final class World {
        final Random random;
        final BlockPool blocks;
        final Scheduler.Limits limits;
        final Scheduler scheduler;
        final List<AdapterWeights> adapters = new ArrayList<>();
        final Map<Sequence, Integer> goal = new HashMap<>();
        final Set<Sequence> preempted = new HashSet<>();
        int finished;

        World(long seed, int maxSequences, int stepTokens, int blockSize, int blockCount) {
            random = new Random(seed);
            blocks = new BlockPool(blockCount);
            limits = new Scheduler.Limits(maxSequences, stepTokens, blockSize);
            scheduler = new Scheduler(limits, blocks, s -> {}, preempted::add);
            adapters.add(null);
            for (int i = 0; i < 4; i++) {
                adapters.add(new AdapterWeights("a" + i, 1, Map.of()));
            }
        }

        void arrive() {
            int longest = scheduler.capacity();
            int prompt = 1 + random.nextInt(Math.min(longest, 40));
            int generate = 1 + random.nextInt(Math.max(1, Math.min(20, longest - prompt)));
            Sequence sequence = new Sequence(new int[prompt], adapters.get(random.nextInt(adapters.size())));
            goal.put(sequence, Math.min(prompt + generate, longest));
            scheduler.add(sequence);
        }

        void cancelSome() {
            goal.keySet().stream().filter(s -> random.nextInt(20) == 0).toList().forEach(s -> {
                scheduler.remove(s);
                goal.remove(s);
            });
        }

        void step() {
            List<Work> plan = scheduler.plan();
            assertThat(plan.isEmpty()).as("work-conserving").isEqualTo(goal.isEmpty());
            checkPlan(plan);
            for (Work work : plan) {
                boolean samples = work.samples();
                Sequence s = work.sequence();
                s.advance(work.rows());
                if (samples) {
                    s.append(7);
                    if (s.length() >= goal.get(s)) {
                        scheduler.remove(s);
                        goal.remove(s);
                        finished++;
                    }
                }
            }
            checkBlocks();
        }

        private void checkPlan(List<Work> plan) {
            assertThat(plan.stream().mapToInt(Work::rows).sum()).isLessThanOrEqualTo(limits.stepTokens());
            assertThat(plan.stream().map(Work::sequence).distinct().count()).isEqualTo(plan.size());
            assertThat(plan).hasSizeLessThanOrEqualTo(limits.maxSequences());
            for (Work work : plan) {
                Sequence s = work.sequence();
                assertThat(goal).containsKey(s);
                assertThat(work.from()).isEqualTo(s.computed());
                assertThat(work.rows()).isBetween(1, s.pending());
                assertThat(s.blockCount() * limits.blockSize()).isGreaterThanOrEqualTo(work.from() + work.rows());
            }
            Set<AdapterWeights> seen = new HashSet<>();
            AdapterWeights last = null;
            for (int i = 0; i < plan.size(); i++) {
                AdapterWeights adapter = plan.get(i).sequence().adapter();
                if (i == 0 || adapter != last) {
                    assertThat(seen.add(adapter)).as("rows of an adapter stand together").isTrue();
                }
                last = adapter;
            }
        }

        private void checkBlocks() {
            int[] held = goal.keySet().stream().flatMapToInt(s -> Arrays.stream(s.blocks(), 0, s.blockCount())).toArray();
            assertThat(IntStream.of(held).distinct().count()).as("no block in two hands").isEqualTo(held.length);
            assertThat(blocks.used()).as("no block lost").isEqualTo(held.length);
        }
    }

    @Property(tries = 300)
    void everySequenceEndsAndNoBlockIsLost(@ForAll long seed, @ForAll @IntRange(min = 1, max = 8) int maxSequences,
            @ForAll @IntRange(min = 0, max = 24) int extraTokens, @ForAll @IntRange(min = 1, max = 8) int blockSize,
            @ForAll @IntRange(min = 1, max = 40) int blockCount) {
        World world = new World(seed, maxSequences, maxSequences + extraTokens, blockSize, blockCount);
        int arrivals = 30;
        for (int i = 0; i < 2000 && (arrivals > 0 || !world.goal.isEmpty()); i++) {
            while (arrivals > 0 && world.random.nextInt(3) == 0) {
                world.arrive();
                arrivals--;
            }
            world.cancelSome();
            world.step();
        }
        assertThat(world.goal).as("nobody waits for ever").isEmpty();
        assertThat(world.scheduler.idle()).isTrue();
        assertThat(world.blocks.used()).isZero();
    }

    @Test
    void preemptsTheNewestAndComputesItAgain() {
        World world = new World(1, 2, 8, 1, 10);
        Sequence old = new Sequence(new int[4], null);
        Sequence young = new Sequence(new int[4], null);
        world.goal.put(old, 9);
        world.goal.put(young, 9);
        world.scheduler.add(old);
        world.scheduler.add(young);
        for (int i = 0; i < 4; i++) {
            world.step();
        }
        assertThat(world.preempted).containsExactly(young);
        assertThat(old.computed()).isGreaterThan(6);
        while (!world.goal.isEmpty()) {
            world.step();
        }
        assertThat(world.finished).isEqualTo(2);
    }

    @Test
    void decodesBesideAPromptThatTakesSeveralSteps() {
        World world = new World(1, 4, 6, 4, 100);
        Sequence decoding = new Sequence(new int[2], null);
        world.goal.put(decoding, 30);
        world.scheduler.add(decoding);
        world.step();
        Sequence prompt = new Sequence(new int[20], null);
        world.goal.put(prompt, 21);
        world.scheduler.add(prompt);
        int before = decoding.length();
        for (int i = 0; i < 4; i++) {
            world.step();
        }
        assertThat(decoding.length()).isEqualTo(before + 4);
        assertThat(world.finished).as("20 tokens in chunks of 5").isEqualTo(1);
    }
}
