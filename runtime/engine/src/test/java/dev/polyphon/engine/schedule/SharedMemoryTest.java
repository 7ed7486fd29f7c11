package dev.polyphon.engine.schedule;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polyphon.engine.backend.DeviceMemoryException;
import dev.polyphon.engine.backend.KvCache;
import dev.polyphon.engine.backend.MemoryBudget;
import dev.polyphon.engine.backend.MemoryBudget.Account;
import java.util.ArrayDeque;
import java.util.BitSet;
import java.util.Deque;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import org.junit.jupiter.api.Test;

/** A scheduler whose blocks share their memory with a neighbour that takes and gives as it likes. */
class SharedMemoryTest {
    private static final long BLOCK = 10;

    private static final class Cache implements KvCache {
        final int blocks;
        final BitSet open = new BitSet();
        /** Closed, and not yet freed. */
        int closing;
        /** Blocks that there are places for, whatever the budget says. */
        int places = Integer.MAX_VALUE;

        Cache(int blocks) {
            this.blocks = blocks;
        }

        @Override
        public int blocks() {
            return blocks;
        }

        @Override
        public int blockSize() {
            return 1;
        }

        @Override
        public long blockBytes() {
            return BLOCK;
        }

        @Override
        public void open(int block) {
            if (open.cardinality() >= places) {
                throw new DeviceMemoryException("a block", BLOCK, 0);
            }
            open.set(block);
        }

        @Override
        public Runnable close(int block) {
            if (!open.get(block)) {
                return null;
            }
            open.clear(block);
            closing++;
            return () -> closing--;
        }

        @Override
        public void close() {}
    }

    @Property(tries = 150)
    void everySequenceEndsAndTheNeighbourGetsItsPart(@ForAll long seed, @ForAll @IntRange(min = 1, max = 6) int maxSequences,
            @ForAll @IntRange(max = 30) int extraTokens, @ForAll @IntRange(min = 1, max = 7) int blockSize, @ForAll @IntRange(min = 3, max = 40) int sure,
            @ForAll @IntRange(max = 40) int shared, @ForAll @IntRange(min = 0, max = 60) int arriving) {
        MemoryBudget budget = new MemoryBudget(shared * BLOCK);
        Account account = budget.account(sure * BLOCK);
        Account neighbour = budget.account(5 * BLOCK);
        Cache cache = new Cache(sure + shared);
        Deque<Runnable> frees = new ArrayDeque<>();
        BlockPool blocks = new BlockPool(cache.blocks(), new BlockMemory(cache, account, frees::add));
        World world = new World(seed, maxSequences, maxSequences + extraTokens, blockSize, blocks, sure);
        world.someUnready = true;
        int arrivals = arriving;
        long wanted = 0;
        int waited = 0;
        for (int i = 0; i < 3000 && (arrivals > 0 || !world.goal.isEmpty()); i++) {
            while (arrivals > 0 && world.random.nextInt(3) == 0) {
                world.arriveAtRandom("c" + world.random.nextInt(3), 1);
                arrivals--;
            }
            world.step();
            assertThat((cache.open.cardinality() + cache.closing) * BLOCK).as("memory that is not accounted for").isLessThanOrEqualTo(account.used());
            world.goal.keySet().forEach(s -> {
                for (int b = 0; b < s.blockCount(); b++) {
                    assertThat(cache.open.get(s.blocks()[b])).as("a sequence's blocks have memory").isTrue();
                }
            });
            while (!frees.isEmpty() && world.random.nextBoolean()) {
                frees.poll().run();
            }
            // What the neighbour has is in use until it gives it back.
            if (neighbour.used() > 0 && world.random.nextInt(4) == 0) {
                neighbour.give(1 + world.random.nextLong(neighbour.used()));
            }
            if (wanted == 0 && world.random.nextInt(3) == 0) {
                wanted = 1 + world.random.nextInt(8 * (int) BLOCK);
            }
            boolean part = neighbour.used() + wanted <= neighbour.own() + shared * BLOCK / 2;
            if (wanted > 0 && neighbour.used() + wanted <= neighbour.most() && neighbour.take(wanted)) {
                wanted = 0;
            }
            waited = wanted > 0 && part ? waited + 1 : 0;
            assertThat(waited).as("steps of waiting for what is one's part").isLessThan(600);
            if (neighbour.used() + wanted > neighbour.most()) {
                wanted = 0;
            }
            neighbour.stands(0, wanted);
        }
        assertThat(world.goal).as("nobody waits for ever").isEmpty();
        neighbour.give(neighbour.used());
        neighbour.stands(0, neighbour.most());
        world.scheduler.rest();
        frees.forEach(Runnable::run);
        assertThat(account.used()).as("what is only kept is given back, down to what is one's own").isLessThanOrEqualTo(account.own());
        assertThat(neighbour.take(neighbour.most())).isTrue();
    }

    /** Memory that there is no place for, in spite of the budget, makes sequences wait and give way; nothing fails, and the budget has it again. */
    @Test
    void whatHasNoPlaceWaits() {
        MemoryBudget budget = new MemoryBudget(20 * BLOCK);
        Account account = budget.account(10 * BLOCK);
        Cache cache = new Cache(30);
        cache.places = 13;
        World world = new World(1, 4, 40, 1, new BlockPool(30, new BlockMemory(cache, account, Runnable::run, 10)), 10);
        assertThat(cache.open.cardinality()).as("its own from the beginning").isEqualTo(10);
        for (int i = 0; i < 5; i++) {
            world.arrive("c", 1, 4, 5);
        }
        for (int i = 0; i < 500 && !world.goal.isEmpty(); i++) {
            world.step();
            assertThat(account.used()).isEqualTo(cache.open.cardinality() * BLOCK);
        }
        assertThat(world.goal).isEmpty();
        assertThat(cache.open.cardinality()).isEqualTo(13);
    }

    @Test
    void givesBackBetweenStepsWhatOthersWaitFor() {
        MemoryBudget budget = new MemoryBudget(20 * BLOCK);
        Account account = budget.account(10 * BLOCK);
        Account neighbour = budget.account(5 * BLOCK);
        Cache cache = new Cache(30);
        Deque<Runnable> frees = new ArrayDeque<>();
        World world = new World(1, 4, 40, 1, new BlockPool(30, new BlockMemory(cache, account, frees::add)), 10);
        for (int i = 0; i < 3; i++) {
            world.arrive("c", 1, 8, 2);
        }
        while (!world.goal.isEmpty()) {
            world.step();
        }
        assertThat(account.used()).isGreaterThan(20 * BLOCK);
        world.arrive("c", 1, 4, 5);
        world.step();
        assertThat(neighbour.take(20 * BLOCK)).isFalse();
        neighbour.stands(0, 20 * BLOCK);
        world.step();
        assertThat(neighbour.take(20 * BLOCK)).as("memory that is not freed yet").isFalse();
        frees.forEach(Runnable::run);
        assertThat(neighbour.take(20 * BLOCK)).isTrue();
        while (!world.goal.isEmpty()) {
            world.step();
        }
    }
}
