package dev.polyphon.engine.schedule;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polyphon.engine.backend.Tensor;
import dev.polyphon.engine.model.AdapterWeights;
import dev.polyphon.engine.model.AdapterWeights.Prefix;
import dev.polyphon.engine.model.AdapterWeights.Span;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.function.Predicate;
import java.util.stream.IntStream;

/** A scheduler whose sequences are "computed" by counting, with every invariant checked at every step. */
final class World {
    /** In steps, which are what time is measured in here. */
    static final int CLUSTER_TIME = 6;
    static final double OUTPUT_PRICE = SchedulePolicy.DEFAULT.outputPrice();

    final Random random;
    final BlockPool blocks;
    final PrefixCache prefixes;
    final Scheduler.Limits limits;
    final Scheduler scheduler;
    final List<AdapterWeights> adapters = new ArrayList<>();
    /** By sequence, the length at which it ends. */
    final Map<Sequence, Integer> goal = new LinkedHashMap<>();
    /** Whether some sequences are not ready when their turn comes. */
    boolean someUnready;
    /** Those that were not ready when their turn came, and will be added again. */
    final List<Sequence> unready = new ArrayList<>();
    final Set<Sequence> preempted = new HashSet<>();
    /** Priced tokens that each client was given, those computed again not counted. */
    final Map<String, Double> service = new HashMap<>();
    private final Map<Sequence, Integer> paid = new HashMap<>();
    /** What stands in the cache, by block and position: all that a key and value there depends on. */
    private final long[][] content;
    private final int longest;
    int finished;
    private long now;
    /** Which work cannot be computed at once; none unless a test says so. */
    Predicate<List<Work>> fails = part -> false;
    final Set<Sequence> failed = new HashSet<>();
    int putBack;
    private final FaultIsolation isolation;

    World(long seed, int maxSequences, int stepTokens, int blockSize, int blockCount) {
        this(seed, maxSequences, stepTokens, blockSize, new BlockPool(blockCount), blockCount);
    }

    /** @param capacity blocks that any one sequence may need */
    World(long seed, int maxSequences, int stepTokens, int blockSize, BlockPool blocks, int capacity) {
        random = new Random(seed);
        this.blocks = blocks;
        longest = capacity * blockSize;
        int blockCount = blocks.size();
        limits = new Scheduler.Limits(maxSequences, stepTokens, blockSize);
        prefixes = new PrefixCache(blocks, blockSize);
        content = new long[blockCount][blockSize];
        isolation = new FaultIsolation(blockSize, new Computing());
        scheduler = new Scheduler(limits, SchedulePolicy.DEFAULT.withTokenTime(Duration.ofNanos(100)).withClusterTime(Duration.ofNanos(CLUSTER_TIME)), blocks, prefixes, new Scheduler.Listener() {
            @Override
            public boolean ready(Sequence sequence) {
                assertThat(sequence.begun()).as("who has begun is ready").isFalse();
                boolean ready = !someUnready || random.nextInt(8) > 0;
                if (!ready) {
                    unready.add(sequence);
                }
                return ready;
            }

            @Override
            public void admitted(Sequence sequence) {
                goal.keySet().stream().filter(s -> !s.admitted() && !unready.contains(s) && s.client() == sequence.client()).forEach(passed -> assertThat(
                        sequence.standing().turn() - passed.standing().turn()).as("how much later one was due that passed another").isLessThanOrEqualTo(CLUSTER_TIME));
            }

            @Override
            public void preempted(Sequence sequence) {
                preempted.add(sequence);
            }
        });
        adapters.add(null);
        adapters.add(new AdapterWeights("plain", 1, Map.of()));
        adapters.add(new AdapterWeights("other", 1, Map.of()));
        adapters.add(new AdapterWeights("embeddings", 1, Map.of(), new Prefix.Embeddings(new Rows(3)), new int[0]));
        adapters.add(new AdapterWeights("keys", 1, Map.of(), new Prefix.KeysValues(List.of(new Rows(2)), List.of(new Rows(2))), new int[0]));
        adapters.add(new AdapterWeights("invoked", 1, Map.of(), null, new int[] {1}));
        adapters.add(AdapterWeights.onPrompt(adapters.get(1), 2, adapters.get(2), 3));
    }

    private record Rows(int rows) implements Tensor {
        @Override
        public int columns() {
            return 1;
        }

        @Override
        public void close() {}
    }

    /** A sequence of a client that is next in that client's line. */
    Sequence arrive(String client, double share, int prompt, int generate) {
        return arrive(new Standing(client, client, share, now, Long.MAX_VALUE, null), prompt, generate);
    }

    Sequence arrive(Standing standing, int prompt, int generate) {
        return arrive(new Sequence(new int[prompt], adapters.get(random.nextInt(3)), standing), generate);
    }

    Sequence arrive(Sequence sequence, int generate) {
        goal.put(sequence, sequence.length() + generate);
        scheduler.add(sequence);
        return sequence;
    }

    Sequence arriveAtRandom(String client, double share) {
        return arriveAtRandom(new Standing(client, client, share, now, Long.MAX_VALUE, null), new int[0]);
    }

    /** A sequence of random length with any adapter that it has room for, which may begin with a part of another's prompt. */
    Sequence arriveAtRandom(Standing standing, int[] start) {
        AdapterWeights adapter = adapters.get(random.nextInt(adapters.size()));
        if (adapter != null && adapter.prefixLength() + 2 > longest) {
            adapter = null;
        }
        int room = longest - (adapter == null ? 0 : adapter.prefixLength());
        int[] prompt = new int[1 + random.nextInt(Math.max(1, Math.min(room - 1, 40)))];
        int common = Math.min(prompt.length, random.nextInt(start.length + 1));
        for (int i = 0; i < prompt.length; i++) {
            prompt[i] = i < common ? start[i] : random.nextInt(3);
        }
        int generate = 1 + random.nextInt(Math.max(1, Math.min(20, room - prompt.length)));
        return arrive(new Sequence(prompt, adapter, standing), Math.min(generate, room - prompt.length));
    }

    void cancelSome() {
        goal.keySet().stream().filter(s -> random.nextInt(20) == 0).toList().forEach(s -> {
            scheduler.remove(s);
            unready.remove(s);
            goal.remove(s);
        });
    }

    List<Work> step() {
        now++;
        unready.removeIf(s -> {
            boolean comes = random.nextInt(3) > 0;
            if (comes) {
                scheduler.add(s);
            }
            return comes;
        });
        List<Work> plan = scheduler.plan();
        assertThat(plan.isEmpty()).as("work-conserving").isEqualTo(unready.containsAll(goal.keySet()));
        checkPlan(plan);
        if (isolation.run(plan)) {
            scheduler.computed(1 + random.nextInt(300));
        }
        checkBlocks();
        return plan;
    }

    private final class Computing implements FaultIsolation.Step {
        @Override
        public void compute(List<Work> part) {
            if (fails.test(part)) {
                part.forEach(work -> write(work, new long[work.sequence().length()]));
                throw new IllegalStateException("an injected fault");
            }
            World.this.compute(part);
        }

        @Override
        public void computed(List<Work> part) {
            part.forEach(World.this::computed);
        }

        @Override
        public void broken(List<Work> plan) {
            scheduler.withdraw(plan);
        }

        @Override
        public void failed(Work work, Throwable cause) {
            scheduler.remove(work.sequence());
            goal.remove(work.sequence());
            failed.add(work.sequence());
        }

        @Override
        public void putBack(Work work) {
            scheduler.putBack(work.sequence());
            putBack++;
        }

        @Override
        public boolean open(Work work) {
            return goal.containsKey(work.sequence());
        }
    }

    private void computed(Work work) {
        boolean samples = work.samples();
        Sequence s = work.sequence();
        s.advance(work.rows());
        int end = s.prefixLength() + s.promptTokens();
        int before = paid.getOrDefault(s, Math.max(s.given(), Math.min(work.from(), end)));
        int promptRows = Math.max(0, Math.min(s.computed(), end) - before);
        paid.put(s, before + promptRows);
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

    private void write(Work work, long[] values) {
        for (int p = work.from() == work.sequence().given() ? 0 : work.from(); p < work.from() + work.rows(); p++) {
            content[work.sequence().blocks()[p / limits.blockSize()]][p % limits.blockSize()] = values[p];
        }
    }

    /** Writes what the planned rows leave in the cache, then looks whether each finds there what it would have computed alone. */
    private void compute(List<Work> plan) {
        for (Work work : plan) {
            write(work, alone(work.sequence()));
        }
        for (Work work : plan) {
            long[] alone = alone(work.sequence());
            for (int p = 0; p < work.from() + work.rows(); p++) {
                assertThat(content[work.sequence().blocks()[p / limits.blockSize()]][p % limits.blockSize()]).as("what position %d sees", p).isEqualTo(alone[p]);
            }
        }
    }

    /** For each position of a sequence, a number that stands for everything its key and value depend on. */
    private static long[] alone(Sequence s) {
        long[] numbers = new long[s.length()];
        long all = 1;
        for (int p = 0; p < numbers.length; p++) {
            all = 31 * all + s.token(p) + (p < s.prefixLength() ? System.identityHashCode(s.adapter()) : 0);
            for (Span span : s.spans()) {
                if (span.from() <= p && p < span.to()) {
                    all = 31 * all + System.identityHashCode(span.adapter());
                }
            }
            all *= 0x9E3779B97F4A7C15L;
            numbers[p] = all;
        }
        return numbers;
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
        long held = goal.keySet().stream().flatMapToInt(s -> Arrays.stream(s.blocks(), 0, s.blockCount())).distinct().count();
        assertThat(blocks.used()).as("no block lost").isEqualTo((int) held);
        int[] written = goal.keySet().stream()
                .flatMapToInt(s -> Arrays.stream(s.blocks(), Math.min(s.blockCount(), s.computed() / limits.blockSize()), s.blockCount())).toArray();
        assertThat(IntStream.of(written).distinct().count()).as("no block that is written to in two hands").isEqualTo(written.length);
    }
}
