package dev.polyphon.engine.schedule;

import dev.polyphon.engine.model.AdapterWeights;
import dev.polyphon.runtime.SchedulerState;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;

/**
 * Decides what each step computes: continuous batching at the granularity of tokens with chunked prefill (Orca, Yu et al. 2022; Sarathi, Agrawal et
 * al. 2023) over paged KV blocks, shared out fairly ({@link FairQueue}). Pure bookkeeping, used by the step loop's thread alone.
 *
 * <p>Every step takes one row of each sequence that decodes, then chunks of prompts until the token budget is spent or as many as the time goal allows
 * ({@link ChunkPacer}), each of the client that has had the least. A sequence is admitted when its first chunk is taken. When blocks run out, the newest sequence of the client that has had the most gives its own
 * back and is computed again later. While a client waits its counter stands still and the others' grow, so every sequence ends.
 */
final class Scheduler {

    /**
     * @param maxSequences most sequences in a step
     * @param stepTokens most rows of a step; at least {@code maxSequences}
     * @param blockSize positions of a block
     */
    record Limits(int maxSequences, int stepTokens, int blockSize) {
        Limits {
            if (maxSequences < 1 || stepTokens < maxSequences || blockSize < 1) {
                throw new IllegalArgumentException("a step of " + stepTokens + " tokens cannot hold " + maxSequences + " sequences");
            }
        }
    }

    /** Hears what the scheduler decided, while it plans: it must not call the scheduler. */
    interface Listener {
        /** Whether a sequence can begin; otherwise it leaves the queue. */
        default boolean ready(Sequence sequence) {
            return true;
        }

        /** A sequence enters the batch, for the first time or again. */
        void admitted(Sequence sequence);

        /** A sequence was put back into the queue for want of blocks. */
        void preempted(Sequence sequence);
    }

    private final Limits limits;
    private final BlockPool blocks;
    private final PrefixCache cache;
    private final FairQueue queue;
    private final ChunkPacer pacer;
    private final Listener listener;
    /** In order of admission. */
    private final List<Sequence> running = new ArrayList<>();
    /** By adapter, how many of those use it. */
    private final Map<AdapterWeights, Integer> adapters = new IdentityHashMap<>();
    private List<Work> plan = List.of();
    private int decodeRows;
    private long admissions;

    Scheduler(Limits limits, SchedulePolicy policy, BlockPool blocks, PrefixCache cache, Listener listener) {
        this.limits = limits;
        this.blocks = blocks;
        this.cache = cache;
        this.listener = listener;
        queue = new FairQueue(policy.outputPrice(), policy.clusterTime() == null ? -1 : policy.clusterTime().toNanos(), adapters::containsKey);
        pacer = new ChunkPacer(policy.tokenTime());
    }

    void add(Sequence sequence) {
        queue.add(sequence);
    }

    /** Takes a sequence out, wherever it is, and frees its blocks. */
    void remove(Sequence sequence) {
        if (sequence.admitted()) {
            leave(sequence);
        } else {
            queue.remove(sequence);
        }
    }

    /** Adds a chosen token to a sequence of the batch. */
    void append(Sequence sequence, int token) {
        sequence.append(token);
        queue.chargeOutput(sequence);
    }

    int running() {
        return running.size();
    }

    int waiting() {
        return queue.size();
    }

    /** How many wait by tenant, for any thread to look at. */
    Map<String, Integer> waitingByTenant() {
        return queue.byTenant();
    }

    /** All that, for whoever looks after it. */
    SchedulerState state() {
        return new SchedulerState(running(), waiting(), blocks.reach(), blocks.used(), blocks.idle(), queue.counters());
    }

    boolean idle() {
        return running.isEmpty() && queue.size() == 0;
    }

    Collection<Sequence> everything() {
        List<Sequence> all = queue.everything();
        all.addAll(running);
        return all;
    }

    /** Sequences that have not begun when they should have; they are still in the queue. */
    List<Sequence> overdue(long now) {
        return queue.overdue(now);
    }

    /** The last plan was computed and took so long. */
    void computed(long nanos) {
        int rows = 0;
        for (Work work : plan) {
            rows += work.rows();
        }
        if (decodeRows > 0 && rows > decodeRows) {
            pacer.measured(rows - decodeRows, nanos);
        }
    }

    /** Forgets all that was computed: nobody knows what the last plan did. */
    void failed() {
        cache.clear();
    }

    /** What a plan computes is not for others to find. */
    void withdraw(List<Work> works) {
        works.forEach(cache::withdraw);
    }

    /** Takes a sequence out of the batch whose part of the last plan cannot be computed, to be computed again later. */
    void putBack(Sequence sequence) {
        leave(sequence);
        queue.wait(sequence);
    }

    /** The next step's work, sequences with the same adapter side by side; empty only when there is nothing to do. */
    List<Work> plan() {
        blocks.giveBack();
        plan = new ArrayList<>();
        decode();
        decodeRows = plan.size();
        int room = limits.stepTokens - decodeRows;
        prefill(decodeRows > 0 ? pacer.rows(room) : room);
        while (plan.isEmpty() && !running.isEmpty()) {
            // All have begun their prompts, and none has room to go on.
            preempt(mostServed());
            prefill(limits.stepTokens);
        }
        groupByAdapter();
        blocks.settle();
        return plan;
    }

    /** There is nothing to plan: others may have what memory they want. */
    void rest() {
        blocks.giveBack();
        blocks.settle();
    }

    private void decode() {
        for (Sequence sequence : running.toArray(Sequence[]::new)) {
            if (sequence.admitted() && sequence.pending() == 1 && makeRoom(sequence)) {
                plan.add(new Work(sequence, sequence.computed(), 1));
            }
        }
        plan.forEach(this::settle);
    }

    /** From here on nothing is taken out of the plan. */
    private void prefill(int budget) {
        List<Sequence> begun = new ArrayList<>();
        for (Sequence sequence : running) {
            if (sequence.pending() > 1) {
                begun.add(sequence);
            }
        }
        boolean admitting = true;
        for (int left = budget; left > 0; ) {
            Sequence next = leastServed(begun);
            Sequence first = admitting && running.size() < limits.maxSequences ? queue.first() : null;
            if (first != null && (next == null || goesBefore(first, next))) {
                int[] cached = cache.find(first);
                admitting = fits(first, cached);
                if (!admitting) {
                    continue;
                }
                if (!first.begun() && !listener.ready(first)) {
                    queue.remove(first);
                    continue;
                }
                enter(first, cached);
                next = first;
            } else if (next == null) {
                return;
            }
            begun.remove(next);
            left -= chunk(next, left);
        }
    }

    /** Whether a sequence that waits goes before one that has begun: a client finishes what it began first. */
    private static boolean goesBefore(Sequence waiting, Sequence begun) {
        return waiting.client() != begun.client() && waiting.client().served() <= begun.client().served();
    }

    /** Plans as much of a prompt as budget and blocks allow; returns the rows. */
    private int chunk(Sequence sequence, int budget) {
        int rows = Math.min(budget, sequence.pending());
        int end = sequence.computed() + rows;
        while (sequence.blockCount() * limits.blockSize < end) {
            int block = blocks.take();
            if (block < 0) {
                break;
            }
            sequence.addBlock(block);
        }
        rows = Math.min(end, sequence.blockCount() * limits.blockSize) - sequence.computed();
        if (rows > 0) {
            Work work = new Work(sequence, sequence.computed(), rows);
            plan.add(work);
            settle(work);
        }
        return rows;
    }

    private void settle(Work work) {
        int end = work.from() + work.rows();
        queue.chargePrompt(work.sequence(), end);
        cache.publish(work.sequence(), end);
    }

    /**
     * A newcomer starts only when all it has, what others in the batch have still to compute of their prompts, and the next token of everyone running
     * find room: so that it is not preempted at once.
     *
     * @param cached blocks that it need not compute; those that nobody holds count among the free ones
     */
    private boolean fits(Sequence sequence, int[] cached) {
        int needed = (sequence.length() + limits.blockSize) / limits.blockSize;
        for (int block : cached) {
            needed -= blocks.held(block) ? 1 : 0;
        }
        for (Sequence other : running) {
            needed += Math.max(0, (other.length() + limits.blockSize - 1) / limits.blockSize - other.blockCount()) + 1;
        }
        return blocks.available(needed) || running.isEmpty();
    }

    /** Gets the block for a sequence's next row, from others if need be; false when it was the sequence itself that had to give way. */
    private boolean makeRoom(Sequence sequence) {
        while (sequence.blockCount() * limits.blockSize < sequence.length()) {
            int block = blocks.take();
            if (block >= 0) {
                sequence.addBlock(block);
                continue;
            }
            Sequence last = mostServed();
            preempt(last);
            if (last == sequence) {
                return false;
            }
        }
        return true;
    }

    private void enter(Sequence sequence, int[] cached) {
        queue.remove(sequence);
        running.add(sequence);
        if (sequence.adapter() != null) {
            adapters.merge(sequence.adapter(), 1, Integer::sum);
        }
        cache.adopt(sequence, cached);
        boolean again = sequence.begun();
        sequence.enters(admissions++);
        if (!again) {
            cache.count(sequence);
        }
        listener.admitted(sequence);
    }

    private void leave(Sequence sequence) {
        running.remove(sequence);
        adapters.computeIfPresent(sequence.adapter(), (adapter, count) -> count == 1 ? null : Integer.valueOf(count - 1));
        sequence.leaves();
        sequence.releaseBlocks(blocks);
    }

    private void preempt(Sequence sequence) {
        putBack(sequence);
        plan.removeIf(work -> work.sequence() == sequence);
        listener.preempted(sequence);
    }

    /** Of the client that has had the most, the sequence admitted last. */
    private Sequence mostServed() {
        return running.stream().max(Comparator.comparingDouble((Sequence s) -> s.client().served()).thenComparingLong(Sequence::admission)).orElseThrow();
    }

    /** Of the client that has had the least, the sequence admitted first; null for none. */
    private static Sequence leastServed(List<Sequence> sequences) {
        return sequences.stream().min(Comparator.comparingDouble((Sequence s) -> s.client().served()).thenComparingLong(Sequence::admission)).orElse(null);
    }

    private void groupByAdapter() {
        Map<Object, Integer> order = new IdentityHashMap<>();
        for (Work work : plan) {
            order.putIfAbsent(work.sequence().adapter(), order.size());
        }
        if (order.size() > 1) {
            plan.sort(Comparator.comparingInt(work -> order.get(work.sequence().adapter())));
        }
    }
}
