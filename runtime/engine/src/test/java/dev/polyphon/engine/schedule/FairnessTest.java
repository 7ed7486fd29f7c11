package dev.polyphon.engine.schedule;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.tuple;
import static org.assertj.core.api.Assertions.within;

import dev.polyphon.engine.model.AdapterWeights;
import dev.polyphon.runtime.AdapterWeight;
import dev.polyphon.runtime.SchedulerState;
import dev.polyphon.runtime.SchedulerState.Counter;
import dev.polyphon.runtime.Scheduling;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import org.junit.jupiter.api.Test;

/** What each client gets of the machine. */
class FairnessTest {
    private static final int LONGEST = 40;
    private static final int MOST_OUTPUT = 20;

    /**
     * Theorem 4.4 of VTC: over any time in which two clients always have something that waits, what they get over their shares differs by at most twice what
     * one can get ahead by, which is a prompt and all that a full batch may still put out.
     */
    @Property(tries = 200)
    void backloggedClientsGetTheirShares(@ForAll long seed, @ForAll @IntRange(min = 1, max = 6) int maxSequences,
            @ForAll @IntRange(min = 0, max = 40) int extraTokens, @ForAll @IntRange(min = 60, max = 200) int blockCount,
            @ForAll @IntRange(min = 1, max = 4) int firstShare, @ForAll @IntRange(min = 1, max = 4) int secondShare) {
        World world = new World(seed, maxSequences, maxSequences + extraTokens, 1, blockCount);
        Map<String, Integer> shares = Map.of("a", firstShare, "b", secondShare);
        double ahead = (LONGEST + World.OUTPUT_PRICE * maxSequences * MOST_OUTPUT) / Math.min(firstShare, secondShare);
        List<Map<String, Double>> history = new ArrayList<>();
        int loner = 0;
        for (int step = 0; step < 400; step++) {
            for (String client : shares.keySet()) {
                while (waiting(world, client) < 2) {
                    world.arriveAtRandom(client, shares.get(client));
                }
            }
            // Others come and go.
            if (world.random.nextInt(10) == 0) {
                world.arriveAtRandom("c" + loner++ % 3, 1 + world.random.nextInt(3));
            }
            world.step();
            history.add(new HashMap<>(world.service));
        }
        double least = 0;
        double most = 0;
        for (Map<String, Double> then : history) {
            double difference = then.getOrDefault("a", 0.0) / firstShare - then.getOrDefault("b", 0.0) / secondShare;
            least = Math.min(least, difference);
            most = Math.max(most, difference);
        }
        assertThat(most - least).as("over any interval").isLessThanOrEqualTo(2 * ahead);
    }

    private static long waiting(World world, String client) {
        return world.goal.keySet().stream().filter(s -> !s.admitted() && s.standing().client().equals(client)).count();
    }

    @Test
    void aFloodDoesNotDelayOthers() {
        World world = new World(3, 8, 32, 4, 400);
        for (int i = 0; i < 500; i++) {
            world.arrive("flood", 1, 20, 10);
        }
        int worst = 0;
        for (int i = 0; i < 20; i++) {
            Sequence modest = world.arrive("modest", 1, 20, 10);
            int steps = 0;
            for (; world.goal.containsKey(modest) && modest.generated() == 0; steps++) {
                world.step();
            }
            worst = Math.max(worst, steps);
            while (world.goal.containsKey(modest)) {
                world.step();
            }
        }
        assertThat(worst).as("steps to the first token: one of eight places has to come free").isLessThanOrEqualTo(12);
        assertThat(waiting(world, "flood")).isGreaterThan(200);
    }

    @Test
    void oneWhoseAdapterRunsGoesFirstWithinItsClientAndForAShortTime() {
        List<AdapterWeights> running = new ArrayList<>();
        FairQueue queue = new FairQueue(2, 10, running::contains);
        AdapterWeights a = new AdapterWeights("a", 1, Map.of());
        AdapterWeights b = new AdapterWeights("b", 1, Map.of());
        Sequence due = queued(queue, "c", a, 0);
        Sequence soon = queued(queue, "c", b, 10);
        Sequence later = queued(queue, "c", b, 11);
        Sequence others = queued(queue, "d", b, 12);
        assertThat(queue.first()).isSameAs(due);
        running.add(b);
        assertThat(queue.first()).as("not that of another client, which came later").isSameAs(soon);
        queue.remove(soon);
        assertThat(queue.first()).as("one may wait so long").isSameAs(due);
        queue.chargePrompt(due, 1);
        assertThat(queue.first()).isSameAs(others);
        queue.chargePrompt(others, 1);
        queue.chargeOutput(others);
        queue.remove(due);
        assertThat(queue.first()).isSameAs(later);
        assertThat(queue.byTenant()).isEqualTo(Map.of("c", 1, "d", 1));
        queue.remove(others);
        assertThat(queue.byTenant()).isEqualTo(Map.of("c", 1));
    }

    @Test
    void tellsWhatEachHasHad() {
        World world = new World(3, 2, 16, 4, 100);
        world.arrive("idle", 2, 4, 1);
        world.step();
        world.arrive("b", 2, 10, 5);
        world.arrive("b", 2, 10, 5);
        world.arrive("a", 1, 10, 5);
        world.step();
        SchedulerState state = world.scheduler.state();
        assertThat(state.running()).isEqualTo(2);
        assertThat(state.waiting()).isEqualTo(1);
        assertThat(state.kvBlocks()).isEqualTo(100);
        assertThat(state.kvBlocksUsed()).isEqualTo(world.blocks.used()).isPositive();
        assertThat(state.counters()).as("who waits, who runs, who is idle").extracting(Counter::tenant).containsExactly("b", "a", "idle");
        assertThat(state.counters()).extracting(Counter::running).containsExactly(1, 1, 0);
        for (Counter counter : state.counters()) {
            assertThat(counter.adapters()).isEmpty();
            assertThat(counter.share()).isEqualTo(counter.tenant().equals("a") ? 1 : 2);
            if (counter.tenant().equals("idle")) {
                assertThat(counter.served()).isEqualTo((4 + World.OUTPUT_PRICE) / 2);
            }
            assertThat(counter.waiting()).isEqualTo((int) waiting(world, counter.tenant()));
        }
    }

    @Test
    void tellsOfAdaptersThatHaveCountersOfTheirOwn() {
        FairQueue queue = new FairQueue(2, 10, _ -> false);
        for (String client : List.of(Fairness.ADAPTER.client("t", List.of(new AdapterWeight("x"), new AdapterWeight("y"))), Fairness.ADAPTER.client("t", List.of()),
                Fairness.NONE.client("t", List.of(new AdapterWeight("x"))))) {
            queued(queue, client, null, 0);
        }
        assertThat(queue.counters()).extracting(Counter::tenant, Counter::adapters)
                .containsExactlyInAnyOrder(tuple("t", List.of("x", "y")), tuple("t", List.of()), tuple("", List.of()));
    }

    private static Sequence queued(FairQueue queue, String client, AdapterWeights adapter, long turn) {
        Sequence sequence = new Sequence(new int[2], adapter, new Standing(client, client, 1, turn, Long.MAX_VALUE, null));
        queue.add(sequence);
        return sequence;
    }

    @Test
    void nobodySavesUpWhileIdle() {
        World world = new World(3, 4, 16, 4, 400);
        for (int i = 0; i < 300; i++) {
            world.arrive("steady", 1, 10, 5);
        }
        for (int i = 0; i < 200; i++) {
            world.step();
        }
        for (int i = 0; i < 300; i++) {
            world.arrive("returning", 1, 10, 5);
        }
        double before = world.service.get("steady");
        for (int i = 0; i < 200; i++) {
            world.step();
        }
        assertThat(world.service.get("steady") - before).isCloseTo(world.service.get("returning"), within(100.0));
    }

    @Test
    void nobodyPaysForTimeAlone() {
        World world = new World(3, 4, 16, 4, 400);
        for (int i = 0; i < 50; i++) {
            world.arrive("alone", 1, 10, 5);
        }
        while (!world.goal.isEmpty()) {
            world.step();
        }
        for (int i = 0; i < 200; i++) {
            world.arrive("alone", 1, 10, 5);
            world.arrive("new", 1, 10, 5);
        }
        double before = world.service.get("alone");
        for (int i = 0; i < 100; i++) {
            world.step();
        }
        assertThat(world.service.get("alone") - before).isCloseTo(world.service.get("new"), within(100.0));
    }

    @Test
    void clientsAreForgottenOnceThatChangesNothing() {
        FairQueue queue = new FairQueue(2, -1, adapter -> false);
        for (int i = 0; i < 10_000; i++) {
            Sequence sequence = new Sequence(new int[1 + i % 7], null, new Standing("c" + i, "c" + i, 1, 0, Long.MAX_VALUE, null));
            queue.add(sequence);
            queue.remove(sequence);
            queue.chargePrompt(sequence, sequence.length());
        }
        assertThat(queue.clients()).isLessThan(200);
    }

    @Test
    void prioritiesAndDeadlinesOrderAClientsOwnRequests() {
        FairQueue queue = new FairQueue(2, -1, adapter -> false);
        Scheduling plain = Scheduling.of("t");
        long second = Duration.ofSeconds(1).toNanos();
        Sequence first = queued(queue, plain, 0);
        Sequence urgent = queued(queue, plain.withPriority(2), second);
        Sequence pressed = queued(queue, plain.withMaxWait(Duration.ofSeconds(20)), 2 * second);
        Sequence idle = queued(queue, plain.withPriority(-10), 0);
        Sequence later = queued(queue, plain, 3 * second);
        Sequence muchLater = queued(queue, plain, 51 * second);
        List<Sequence> order = new ArrayList<>();
        while (queue.first() != null) {
            order.add(queue.first());
            queue.remove(queue.first());
        }
        assertThat(order).containsExactly(pressed, urgent, first, later, idle, muchLater);
    }

    private static Sequence queued(FairQueue queue, Scheduling scheduling, long now) {
        Sequence sequence = new Sequence(new int[1], null, Standing.of(scheduling, scheduling.tenant(), null, now));
        queue.add(sequence);
        return sequence;
    }

    @Test
    void onlyWhatHasNotBegunBecomesOverdue() {
        World world = new World(1, 1, 4, 1, 40);
        Standing limited = new Standing("c", "c", 1, 0, 100, null);
        Sequence begun = world.arrive(limited, 4, 10);
        Sequence waits = world.arrive(limited, 4, 10);
        world.arrive("c", 1, 4, 10);
        world.step();
        assertThat(begun.begun()).isTrue();
        assertThat(world.scheduler.overdue(99)).isEmpty();
        assertThat(world.scheduler.overdue(100)).containsExactly(waits);
        assertThat(Standing.of(Scheduling.of("t"), "t", null, 5).deadline()).isEqualTo(Long.MAX_VALUE);
    }
}
