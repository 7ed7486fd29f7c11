package dev.polyphon.engine.schedule;

import static org.assertj.core.api.Assertions.assertThat;

import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import org.junit.jupiter.api.Test;

class SchedulerTest {

    @Property(tries = 300)
    void everySequenceEndsAndNoBlockIsLost(@ForAll long seed, @ForAll @IntRange(min = 1, max = 8) int maxSequences,
            @ForAll @IntRange(min = 0, max = 24) int extraTokens, @ForAll @IntRange(min = 1, max = 8) int blockSize,
            @ForAll @IntRange(min = 1, max = 40) int blockCount, @ForAll @IntRange(min = 1, max = 5) int clients) {
        World world = new World(seed, maxSequences, maxSequences + extraTokens, blockSize, blockCount);
        world.someUnready = true;
        int arrivals = 30;
        for (int i = 0; i < 2000 && (arrivals > 0 || !world.goal.isEmpty()); i++) {
            while (arrivals > 0 && world.random.nextInt(3) == 0) {
                world.arriveAtRandom("c" + world.random.nextInt(clients), 1);
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
        Sequence old = world.arrive("c", 1, 4, 5);
        Sequence young = world.arrive("c", 1, 4, 5);
        for (int i = 0; i < 4; i++) {
            world.step();
        }
        assertThat(world.preempted).containsExactly(young);
        assertThat(old.computed()).isGreaterThan(6);
        while (!world.goal.isEmpty()) {
            world.step();
        }
        assertThat(world.finished).isEqualTo(2);
        assertThat(world.service.get("c")).as("what was computed again is not paid for again").isEqualTo(2 * (4 + 5 * World.OUTPUT_PRICE));
    }

    @Test
    void preemptsWhoHasHadTheMost() {
        World world = new World(1, 3, 40, 1, 40);
        Sequence greedy = world.arrive("greedy", 1, 12, 20);
        Sequence alsoGreedy = world.arrive("greedy", 1, 12, 20);
        Sequence modest = world.arrive("modest", 1, 4, 20);
        while (world.preempted.isEmpty()) {
            world.step();
        }
        assertThat(world.preempted).as("not the newest of all, which is the modest one's").containsExactly(alsoGreedy);
        while (!world.goal.isEmpty()) {
            world.step();
        }
        assertThat(world.preempted).contains(greedy).doesNotContain(modest);
    }

    @Test
    void decodesBesideAPromptThatTakesSeveralSteps() {
        World world = new World(1, 4, 6, 4, 100);
        Sequence decoding = world.arrive("c", 1, 2, 28);
        world.step();
        world.arrive("c", 1, 20, 1);
        int before = decoding.length();
        for (int i = 0; i < 4; i++) {
            world.step();
        }
        assertThat(decoding.length()).isEqualTo(before + 4);
        assertThat(world.finished).as("20 tokens in chunks of 5").isEqualTo(1);
    }

    @Test
    void aShortPromptOfAnotherClientPassesALongOne() {
        World world = new World(1, 4, 8, 4, 200);
        world.arrive("long", 1, 400, 1);
        world.step();
        world.step();
        Sequence brief = world.arrive("short", 1, 4, 1);
        world.step();
        assertThat(world.goal).doesNotContainKey(brief);
    }
}
