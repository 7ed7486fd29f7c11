package dev.polyphon.engine.schedule;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polyphon.engine.model.AdapterWeights;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.stream.IntStream;

/** A scheduler whose sequences are "computed" by counting, with every invariant checked at every step. */
final class World {
    static final double OUTPUT_PRICE = 2;

    final Random random;
    final BlockPool blocks;
    final Scheduler.Limits limits;
    final Scheduler scheduler;
    final List<AdapterWeights> adapters = new ArrayList<>();
    /** By sequence, the length at which it ends. */
    final Map<Sequence, Integer> goal = new LinkedHashMap<>();
    final Set<Sequence> preempted = new HashSet<>();
    /** Priced tokens that each client was given, those computed again not counted. */
    final Map<String, Double> service = new HashMap<>();
    private final Map<Sequence, Integer> paid = new HashMap<>();
    int finished;

    World(long seed, int maxSequences, int stepTokens, int blockSize, int blockCount) {
        random = new Random(seed);
        blocks = new BlockPool(blockCount);
        limits = new Scheduler.Limits(maxSequences, stepTokens, blockSize);
        scheduler = new Scheduler(limits, OUTPUT_PRICE, blocks, new Scheduler.Listener() {
            @Override
            public void admitted(Sequence sequence) {}

            @Override
            public void preempted(Sequence sequence) {
                preempted.add(sequence);
            }
        });
        adapters.add(null);
        for (int i = 0; i < 4; i++) {
            adapters.add(new AdapterWeights("a" + i, 1, Map.of()));
        }
    }

    /** A sequence of a client that is next in that client's line. */
    Sequence arrive(String client, double share, int prompt, int generate) {
        return arrive(new Standing(client, share, 0, Long.MAX_VALUE), prompt, generate);
    }

    Sequence arrive(Standing standing, int prompt, int generate) {
        Sequence sequence = new Sequence(new int[prompt], adapters.get(random.nextInt(adapters.size())), standing);
        goal.put(sequence, prompt + generate);
        scheduler.add(sequence);
        return sequence;
    }

    Sequence arriveAtRandom(String client, double share) {
        int longest = scheduler.capacity();
        int prompt = 1 + random.nextInt(Math.min(longest, 40));
        int generate = 1 + random.nextInt(Math.max(1, Math.min(20, longest - prompt)));
        return arrive(client, share, prompt, Math.min(generate, Math.max(1, longest - prompt)));
    }

    void cancelSome() {
        goal.keySet().stream().filter(s -> random.nextInt(20) == 0).toList().forEach(s -> {
            scheduler.remove(s);
            goal.remove(s);
        });
    }

    List<Work> step() {
        List<Work> plan = scheduler.plan();
        assertThat(plan.isEmpty()).as("work-conserving").isEqualTo(goal.isEmpty());
        checkPlan(plan);
        for (Work work : plan) {
            boolean samples = work.samples();
            Sequence s = work.sequence();
            s.advance(work.rows());
            int promptRows = Math.max(0, Math.min(s.computed(), s.promptTokens()) - paid.getOrDefault(s, 0));
            paid.merge(s, promptRows, Integer::sum);
            service.merge(s.standing().client(), promptRows + (samples ? OUTPUT_PRICE : 0), Double::sum);
            if (samples) {
                scheduler.append(s, 7);
                if (s.length() >= goal.get(s)) {
                    scheduler.remove(s);
                    goal.remove(s);
                    finished++;
                }
            }
        }
        checkBlocks();
        return plan;
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
