package dev.polyphon.engine.schedule;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polyphon.engine.model.AdapterWeights;
import dev.polyphon.runtime.Scheduling;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import org.junit.jupiter.api.Test;

class PrefixCacheTest {
    private static final int[] PROMPT = IntStream.range(5, 21).toArray();
    private final World world = new World(1, 8, 64, 4, 100);

    private static Standing scope(String scope) {
        return new Standing("c", "c", 1, 0, Long.MAX_VALUE, scope);
    }

    /** How many tokens of a prompt need not be computed. */
    private int cached(int[] prompt, AdapterWeights adapter, String scope) {
        Sequence sequence = world.arrive(new Sequence(prompt, adapter, scope(scope)), 2);
        while (!world.goal.isEmpty()) {
            world.step();
        }
        return sequence.cachedTokens();
    }

    /** Whatever begins as others do, with whatever adapter, preempted or cancelled or not, each position sees what it would see alone. */
    @Property(tries = 300)
    void whatIsFoundIsWhatWouldHaveBeenComputed(@ForAll long seed, @ForAll @IntRange(min = 1, max = 6) int maxSequences,
            @ForAll @IntRange(min = 0, max = 24) int extraTokens, @ForAll @IntRange(min = 1, max = 6) int blockSize,
            @ForAll @IntRange(min = 4, max = 40) int blockCount) {
        World crowd = new World(seed, maxSequences, maxSequences + extraTokens, blockSize, blockCount);
        crowd.someUnready = true;
        int[] start = crowd.random.ints(30, 0, 3).toArray();
        int arrivals = 40;
        for (int i = 0; i < 3000 && (arrivals > 0 || !crowd.goal.isEmpty()); i++) {
            while (arrivals > 0 && crowd.random.nextInt(3) == 0) {
                Standing standing = new Standing("t", "c" + crowd.random.nextInt(2), 1, 0, Long.MAX_VALUE, "s" + crowd.random.nextInt(2));
                crowd.arriveAtRandom(standing, start);
                arrivals--;
            }
            crowd.cancelSome();
            if (crowd.random.nextInt(50) == 0) {
                crowd.scheduler.failed();
            }
            crowd.step();
        }
        assertThat(crowd.goal).isEmpty();
        assertThat(crowd.blocks.used()).isZero();
        assertThat(crowd.blocks.used()).isZero();
    }

    @Test
    void findsWholeBlocksOfThePromptAndComputesTheLastToken() {
        assertThat(cached(PROMPT, null, "s")).isZero();
        assertThat(cached(PROMPT, null, "s")).as("the last of 4 blocks holds the token whose logits are wanted").isEqualTo(12);
        assertThat(cached(IntStream.range(5, 16).toArray(), null, "s")).isEqualTo(8);
        assertThat(world.prefixes.queried()).isEqualTo(16 + 16 + 11);
        assertThat(world.prefixes.hit()).isEqualTo(12 + 8);
    }

    @Test
    void keepsOutputsForTheNextTurn() {
        Sequence first = world.arrive(new Sequence(PROMPT, null, scope("s")), 10);
        while (!world.goal.isEmpty()) {
            world.step();
        }
        int[] turn = IntStream.concat(IntStream.range(0, first.length()).map(first::token), IntStream.of(9, 9, 9)).toArray();
        assertThat(cached(turn, null, "s")).as("the last token of the output was never computed").isEqualTo(24);
    }

    @Test
    void choicesOfOneRequestShareItsPromptWithinAStep() {
        world.arrive(new Sequence(PROMPT, null, scope("s")), 3);
        Sequence second = world.arrive(new Sequence(PROMPT, null, scope("s")), 3);
        assertThat(world.step()).extracting(Work::rows).containsExactly(16, 4);
        assertThat(second.cachedTokens()).isEqualTo(12);
        assertThat(world.blocks.used()).isEqualTo(5);
        assertThat(world.service.get("c")).as("what was found costs nothing").isEqualTo(16 + 4 + 2 * World.OUTPUT_PRICE);
    }

    @Test
    void scopesAndAdaptersAreKeptApart() {
        AdapterWeights one = new AdapterWeights("a", 1, Map.of());
        AdapterWeights otherVersion = new AdapterWeights("a", 1, Map.of());
        cached(PROMPT, null, "s");
        assertThat(cached(PROMPT, null, "other")).isZero();
        assertThat(cached(PROMPT, one, "s")).isZero();
        assertThat(cached(PROMPT, otherVersion, "s")).isZero();
        assertThat(cached(PROMPT, one, "s")).isEqualTo(12);
        assertThat(cached(PROMPT, null, null)).isZero();
    }

    @Test
    void scopesAreTheTenantsUnlessSaidOtherwise() {
        Scheduling a = Scheduling.of("a");
        Scheduling b = Scheduling.of("b");
        assertThat(PrefixSharing.TENANT.scope(a)).isEqualTo(PrefixSharing.TENANT.scope(a)).isNotEqualTo(PrefixSharing.TENANT.scope(b));
        assertThat(PrefixSharing.SHARED.scope(a)).isEqualTo(PrefixSharing.SHARED.scope(b)).isNotNull();
        assertThat(PrefixSharing.OFF.scope(a.withCacheScope("s"))).isNull();
        for (PrefixSharing sharing : List.of(PrefixSharing.TENANT, PrefixSharing.SHARED)) {
            assertThat(sharing.scope(a.withCacheScope("s"))).isEqualTo(sharing.scope(b.withCacheScope("s"))).isNotEqualTo(sharing.scope(a));
            assertThat(sharing.scope(a.withCacheScope(Scheduling.UNCACHED))).isNull();
        }
    }

    @Test
    void anInvokedAdapterSharesTheBasesPrefixUpToItsInvocation() {
        AdapterWeights invoked = new AdapterWeights("invoked", 1, Map.of(), null, new int[] {14});
        cached(PROMPT, null, "s");
        assertThat(cached(PROMPT, invoked, "s")).as("14 is at position 9").isEqualTo(8);
        assertThat(cached(PROMPT, invoked, "s")).isEqualTo(12);
        assertThat(cached(PROMPT, null, "s")).isEqualTo(12);
    }

    @Test
    void whatAFailedStepLeftIsNotUsed() {
        Sequence failing = world.arrive(new Sequence(PROMPT, null, scope("s")), 3);
        world.scheduler.plan();
        world.scheduler.remove(failing);
        world.goal.clear();
        world.scheduler.failed();
        assertThat(cached(PROMPT, null, "s")).isZero();
    }

    @Test
    void aPreemptedSequenceFindsWhatItLeft() {
        World tight = new World(1, 2, 64, 1, 30);
        Sequence old = tight.arrive(new Sequence(new int[10], null, scope(null)), 16);
        Sequence young = tight.arrive(new Sequence(PROMPT, null, scope("s")), 8);
        int rows = 0;
        while (!tight.goal.isEmpty()) {
            for (Work work : tight.step()) {
                rows += work.sequence() == young ? work.rows() : 0;
            }
        }
        assertThat(tight.preempted).containsExactly(young);
        assertThat(old.generated()).isEqualTo(16);
        assertThat(rows).as("rows of 16 + 7 positions, those whose blocks the other took twice").isBetween(24, 40);
    }
}
