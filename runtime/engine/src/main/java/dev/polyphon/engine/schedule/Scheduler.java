package dev.polyphon.engine.schedule;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.Deque;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;

/**
 * Decides what each step computes: continuous batching at the granularity of tokens with chunked prefill (Orca, Yu et al. 2022; Sarathi, Agrawal et
 * al. 2023) over paged KV blocks. Pure bookkeeping, used by the step loop's thread alone.
 *
 * <p>Every step takes one row of each sequence that decodes, then chunks of prompts, oldest first, until the token budget is spent. When blocks run
 * out the sequence admitted last gives its own back and is computed again later; the oldest always goes on, so every admitted sequence ends.
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

    private final Limits limits;
    private final BlockPool blocks;
    private final Consumer<Sequence> onAdmit;
    private final Consumer<Sequence> onPreempt;
    private final Deque<Sequence> waiting = new ArrayDeque<>();
    private final List<Sequence> running = new ArrayList<>();
    private List<Work> plan = List.of();

    /**
     * @param onAdmit hears of each sequence that enters the batch, also when it comes back after preemption
     * @param onPreempt hears of each sequence that is put back into the queue
     */
    Scheduler(Limits limits, BlockPool blocks, Consumer<Sequence> onAdmit, Consumer<Sequence> onPreempt) {
        this.limits = limits;
        this.blocks = blocks;
        this.onAdmit = onAdmit;
        this.onPreempt = onPreempt;
    }

    /** Longest sequence that can ever be computed. */
    int capacity() {
        return blocks.size() * limits.blockSize;
    }

    void add(Sequence sequence) {
        waiting.addLast(sequence);
    }

    /** Takes a sequence out, wherever it is, and frees its blocks. */
    void remove(Sequence sequence) {
        if (running.remove(sequence)) {
            sequence.releaseBlocks(blocks);
        } else {
            waiting.remove(sequence);
        }
    }

    int running() {
        return running.size();
    }

    int waiting() {
        return waiting.size();
    }

    boolean idle() {
        return running.isEmpty() && waiting.isEmpty();
    }

    Collection<Sequence> everything() {
        List<Sequence> all = new ArrayList<>(running);
        all.addAll(waiting);
        return all;
    }

    /** The next step's work, sequences with the same adapter side by side; empty only when there is nothing to do. */
    List<Work> plan() {
        plan = new ArrayList<>();
        int budget = limits.stepTokens;
        for (int i = 0; i < running.size(); i++) {
            Sequence sequence = running.get(i);
            if (sequence.pending() == 1 && makeRoom(sequence, sequence.length())) {
                plan.add(new Work(sequence, sequence.computed(), 1));
                budget--;
            }
        }
        for (int i = 0; i < running.size() && budget > 0; i++) {
            Sequence sequence = running.get(i);
            if (sequence.pending() > 1) {
                budget -= prefill(sequence, budget);
            }
        }
        while (budget > 0 && !waiting.isEmpty() && running.size() < limits.maxSequences && fits(waiting.peekFirst())) {
            Sequence sequence = waiting.pollFirst();
            running.add(sequence);
            onAdmit.accept(sequence);
            budget -= prefill(sequence, budget);
        }
        groupByAdapter();
        return plan;
    }

    private int prefill(Sequence sequence, int budget) {
        int rows = Math.min(budget, sequence.pending());
        if (!makeRoom(sequence, sequence.computed() + rows)) {
            return 0;
        }
        plan.add(new Work(sequence, sequence.computed(), rows));
        return rows;
    }

    /** A newcomer starts only when all it has, and the next token of everyone running, finds room: so that it is not preempted at once. */
    private boolean fits(Sequence sequence) {
        int needed = (sequence.length() + limits.blockSize) / limits.blockSize;
        return running.isEmpty() || needed + running.size() <= blocks.free();
    }

    /** Gets blocks up to a length, from the sequences admitted last if need be; false when that was the sequence itself. */
    private boolean makeRoom(Sequence sequence, int length) {
        while (sequence.blockCount() * limits.blockSize < length) {
            int block = blocks.take();
            if (block >= 0) {
                sequence.addBlock(block);
                continue;
            }
            Sequence last = running.removeLast();
            preempt(last);
            if (last == sequence) {
                return false;
            }
        }
        return true;
    }

    private void preempt(Sequence sequence) {
        sequence.releaseBlocks(blocks);
        plan.removeIf(work -> work.sequence() == sequence);
        waiting.addFirst(sequence);
        onPreempt.accept(sequence);
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
