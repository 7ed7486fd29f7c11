package dev.polyphon.engine.schedule;

import dev.polyphon.engine.backend.KvCache;
import dev.polyphon.engine.model.AdapterPlan.Segment;
import dev.polyphon.engine.model.Decoder;
import dev.polyphon.engine.sample.Choice;
import dev.polyphon.engine.schedule.ActiveGeneration.Continuation;
import dev.polyphon.runtime.FinishReason;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.runtime.RuntimeObserver;
import dev.polyphon.runtime.RuntimeStats;
import dev.polyphon.runtime.SchedulerState;
import dev.polyphon.runtime.TokenEvent;
import java.time.Duration;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Supplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The engine's heartbeat, one platform thread per device: take arrivals and cancels, plan a step, run the decoder, choose tokens, tell the sinks.
 * It does no I/O and waits for nothing but work.
 */
public final class StepLoop implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(StepLoop.class);

    private sealed interface Message {
        record Submit(ActiveGeneration generation) implements Message {}

        record Cancel(ActiveGeneration generation) implements Message {}

        record Look(CompletableFuture<SchedulerState> state) implements Message {}
    }

    private final Decoder decoder;
    private final Forward forward;
    private final FaultIsolation isolation;
    private final RuntimeObserver observer;
    private final BetweenSteps between;
    private final BlockPool blocks;
    private final PrefixCache prefixes;
    private final Scheduler scheduler;
    private final Queue<Message> inbox = new ConcurrentLinkedQueue<>();
    private final Thread thread;
    private volatile boolean stopping;
    /** Whether the thread takes no more messages: then who sends one takes it. Guarded by this. */
    private boolean ended;
    private volatile boolean busy;
    private volatile int running;
    private volatile int waiting;
    private volatile int blocksUsed;
    private volatile int blocksInReach;
    private volatile RuntimeStats.PrefixCache prefixStats = RuntimeStats.PrefixCache.NONE;
    private final long epoch = System.nanoTime();
    private final Supplier<Duration> retryAfter;
    /** Generations whose sinks failed while the step was planned; they end after it, since it counts on what it computes for them. */
    private final Map<ActiveGeneration, RuntimeException> brokenAtStart = new HashMap<>();
    /** Generations whose turn came in vain while the step was planned. */
    private final Set<ActiveGeneration> unready = new HashSet<>();

    /**
     * Starts the loop.
     *
     * @param decoder used by this loop alone; a step has at most {@link Decoder#maxRows} rows and {@link Decoder#maxLogitRows} sequences
     * @param memory of the cache's blocks; null when they all have theirs
     * @param vocabulary logits per row
     * @param retryAfter tells those that waited too long when to try again
     * @param between hears of each step
     */
    public StepLoop(Decoder decoder, KvCache cache, BlockMemory memory, int vocabulary, SchedulePolicy policy, Supplier<Duration> retryAfter,
            RuntimeObserver observer, BetweenSteps between) {
        this.decoder = decoder;
        forward = new Forward(decoder, cache, vocabulary);
        isolation = new FaultIsolation(cache.blockSize(), new Computing());
        this.retryAfter = retryAfter;
        this.observer = observer;
        this.between = between;
        blocks = memory == null ? new BlockPool(cache.blocks()) : new BlockPool(cache.blocks(), memory);
        prefixes = new PrefixCache(blocks, cache.blockSize());
        scheduler = new Scheduler(new Scheduler.Limits(decoder.maxLogitRows(), decoder.maxRows(), cache.blockSize()), policy, blocks, prefixes,
                new Listener());
        publish();
        thread = Thread.ofPlatform().name("polyphon-step").unstarted(this::run);
        if (memory != null) {
            memory.onPressed(() -> LockSupport.unpark(thread));
        }
        thread.start();
    }

    /** Hands a generation over; from then on its sink is called, unless it is lost. */
    public void submit(ActiveGeneration generation) {
        send(new Message.Submit(generation));
    }

    /** Ends a generation before the next step; nothing when it is lost. */
    public void cancel(ActiveGeneration generation) {
        send(new Message.Cancel(generation));
    }

    /** What the scheduler holds before the next step. What depends on it must not block: it may run on this loop's thread. */
    public CompletableFuture<SchedulerState> state() {
        var state = new CompletableFuture<SchedulerState>();
        send(new Message.Look(state));
        return state;
    }

    private void send(Message message) {
        inbox.add(message);
        LockSupport.unpark(thread);
        if (stopping) {
            synchronized (this) {
                if (ended) {
                    takeMessages();
                }
            }
        }
    }

    /** Nanoseconds since this loop was made. */
    public long now() {
        return System.nanoTime() - epoch;
    }

    /** Whether steps follow each other, so that what else is computed holds them up. */
    public boolean busy() {
        return busy;
    }

    /** Sequences in the batch. */
    public int running() {
        return running;
    }

    /** Sequences in the queue. */
    public int waiting() {
        return waiting;
    }

    /** Of those in the queue, how many are whose. */
    public Map<String, Integer> waitingByTenant() {
        return Map.copyOf(scheduler.waitingByTenant());
    }

    /** Blocks of the cache in use. */
    public int blocksUsed() {
        return blocksUsed;
    }

    /** Blocks that there are, or could be now. */
    public int blocks() {
        return blocksInReach;
    }

    /** What the prefix cache found, and keeps. */
    public RuntimeStats.PrefixCache prefixCache() {
        return prefixStats;
    }

    private void run() {
        while (!stopping) {
            try {
                takeMessages();
                busy = !scheduler.idle();
                if (scheduler.idle()) {
                    scheduler.rest();
                    publish();
                    if (inbox.isEmpty() && !stopping) {
                        LockSupport.park(this);
                    }
                } else {
                    expire();
                    step();
                    publish();
                }
            } catch (Throwable e) {
                LOG.error("the step loop failed; everything in it is given up", e);
                failAll(RuntimeFault.of(RuntimeFault.Kind.INTERNAL, "the engine failed: " + e));
            }
        }
        synchronized (this) {
            takeMessages();
            failAll(RuntimeFault.of(RuntimeFault.Kind.SHUTTING_DOWN, "the engine was shut down"));
            ended = true;
        }
    }

    private void publish() {
        running = scheduler.running();
        waiting = scheduler.waiting();
        blocksUsed = blocks.used();
        blocksInReach = blocks.reach();
        prefixStats = new RuntimeStats.PrefixCache(prefixes.queried(), prefixes.hit(), blocks.idle());
    }

    private synchronized void takeMessages() {
        for (Message message = inbox.poll(); message != null; message = inbox.poll()) {
            switch (message) {
                case Message.Submit(ActiveGeneration generation) -> {
                    if (stopping) {
                        fail(generation, RuntimeFault.of(RuntimeFault.Kind.SHUTTING_DOWN, "the engine was shut down"));
                    } else {
                        generation.first().forEach(scheduler::add);
                    }
                }
                case Message.Cancel(ActiveGeneration generation) -> cancelNow(generation);
                case Message.Look(CompletableFuture<SchedulerState> state) -> state.complete(scheduler.state());
            }
        }
    }

    private void cancelNow(ActiveGeneration generation) {
        if (generation.lost()) {
            return;
        }
        for (Continuation c : generation.continuations()) {
            if (!c.finished) {
                scheduler.remove(c);
                guarded(generation, () -> generation.finish(c, c.text.flush(), FinishReason.CANCELLED));
            }
        }
    }

    private final class Listener implements Scheduler.Listener {
        @Override
        public boolean ready(Sequence sequence) {
            ActiveGeneration generation = ((Continuation) sequence).generation;
            boolean ready = generation.ready();
            if (!ready) {
                unready.add(generation);
            }
            return ready;
        }

        @Override
        public void admitted(Sequence sequence) {
            ActiveGeneration generation = ((Continuation) sequence).generation;
            try {
                if (generation.start(sequence)) {
                    observer.admitted(generation.scheduling().tenant(), Duration.ofNanos(now() - generation.arrived()));
                }
            } catch (RuntimeException e) {
                brokenAtStart.put(generation, e);
            }
        }

        @Override
        public void preempted(Sequence sequence) {
            observer.preempted(((Continuation) sequence).generation.scheduling().tenant());
        }
    }

    /** Ends what has not begun in its time. */
    private void expire() {
        for (Sequence sequence : scheduler.overdue(now())) {
            ActiveGeneration generation = ((Continuation) sequence).generation;
            if (!generation.started() && !generation.ended()) {
                observer.expired(generation.scheduling().tenant());
                fail(generation, generation.overdue(retryAfter.get()));
            }
        }
    }

    private void step() {
        long start = System.nanoTime();
        List<Work> plan = List.copyOf(scheduler.plan());
        for (ActiveGeneration generation : unready) {
            generation.continuations().forEach(scheduler::remove);
            guarded(generation, generation::leave);
        }
        unready.clear();
        if (plan.isEmpty()) {
            return;
        }
        int rows = 0;
        int decodeRows = 0;
        for (Work work : plan) {
            rows += work.rows();
            if (work.rows() == 1 && work.sequence().generated() > 0) {
                decodeRows++;
            }
        }
        if (isolation.run(plan)) {
            long nanos = System.nanoTime() - start;
            scheduler.computed(nanos);
            observer.step(new RuntimeObserver.Step(Duration.ofNanos(nanos), plan.size(), distinct(forward.segments()), decodeRows, rows - decodeRows));
            between(rows, nanos);
        }
        if (!brokenAtStart.isEmpty()) {
            new HashMap<>(brokenAtStart).keySet().forEach(this::endBroken);
        }
    }

    private void between(int rows, long nanos) {
        try {
            between.after(decoder, rows, forward.segments(), nanos);
        } catch (RuntimeException | Error e) {
            LOG.error("what was done after a step failed", e);
        }
    }

    /** Ends a generation whose sink failed at the start. */
    private void endBroken(ActiveGeneration generation) {
        RuntimeException cause = brokenAtStart.remove(generation);
        if (cause != null) {
            guarded(generation, () -> {
                throw cause;
            });
        }
    }

    private final class Computing implements FaultIsolation.Step {
        @Override
        public void compute(List<Work> part) {
            forward.compute(part);
        }

        @Override
        public void computed(List<Work> part) {
            for (Work work : part) {
                work.sequence().advance(work.rows());
            }
            if (!brokenAtStart.isEmpty()) {
                part.forEach(work -> endBroken(((Continuation) work.sequence()).generation));
            }
            pool(part);
            score(part);
            int next = 0;
            for (Work work : part) {
                if (Forward.draws(work)) {
                    Continuation continuation = (Continuation) work.sequence();
                    int place = next++;
                    if (!continuation.finished) {
                        guarded(continuation.generation, () -> next(continuation, forward.choice(continuation, place)));
                    }
                }
            }
        }

        @Override
        public void broken(List<Work> plan) {
            scheduler.withdraw(plan);
            observer.stepFailed();
        }

        @Override
        public void failed(Work work, Throwable cause) {
            ActiveGeneration generation = ((Continuation) work.sequence()).generation;
            brokenAtStart.remove(generation);
            observer.sequenceFailed(generation.scheduling().tenant());
            fail(generation, RuntimeFault.of(RuntimeFault.Kind.INTERNAL, "a step of the engine failed: " + cause));
        }

        @Override
        public void putBack(Work work) {
            scheduler.putBack(work.sequence());
        }

        @Override
        public boolean open(Work work) {
            return !((Continuation) work.sequence()).finished;
        }
    }

    /** Tells of prompts whose tokens' probabilities were wanted, and ends those of which nothing more is. */
    private void score(List<Work> part) {
        for (Work work : part) {
            Continuation continuation = (Continuation) work.sequence();
            ActiveGeneration generation = continuation.generation;
            if (continuation.scored != null && !continuation.finished && continuation.scored.advance(work)) {
                guarded(generation, () -> {
                    generation.sink().scored(continuation.scored.scores());
                    generation.others().forEach(scheduler::add);
                });
            }
            if (work.samples() && continuation.pooled == null && !continuation.generates() && !continuation.finished) {
                guarded(generation, () -> finish(continuation, "", FinishReason.LENGTH));
            }
        }
    }

    /** Hands hidden states to those that pool them. */
    private void pool(List<Work> part) {
        int at = 0;
        for (Work work : part) {
            Continuation continuation = (Continuation) work.sequence();
            if (continuation.pooled != null) {
                int from = at;
                at += (work.from() + work.rows() - continuation.pooled.first(work)) * forward.width();
                if (!continuation.finished) {
                    guarded(continuation.generation, () -> pool(continuation, work, from));
                }
            }
        }
    }

    private void pool(Continuation continuation, Work work, int from) {
        continuation.pooled.add(work, forward.states(), from);
        if (work.samples()) {
            continuation.pooled.finish();
            finish(continuation, "", FinishReason.STOP);
        }
    }

    private void next(Continuation continuation, Choice choice) {
        ActiveGeneration generation = continuation.generation;
        scheduler.append(continuation, choice.token());
        FinishReason end = continuation.stopping.after(choice.token(), continuation.generated()).orElse(null);
        if (end == FinishReason.STOP) {
            finish(continuation, continuation.text.flush(), FinishReason.STOP);
            return;
        }
        String text = continuation.text.push(choice.token());
        generation.sink().token(new TokenEvent(continuation.choice, choice.token(), text, choice.logprobs()));
        if (continuation.text.stopped()) {
            finish(continuation, "", FinishReason.STOP);
        } else if (continuation.sampler.complete()) {
            finish(continuation, continuation.text.flush(), FinishReason.STOP);
        } else if (end != null) {
            finish(continuation, continuation.text.flush(), end);
        }
    }

    private void finish(Continuation continuation, String text, FinishReason reason) {
        scheduler.remove(continuation);
        continuation.generation.finish(continuation, text, reason);
    }

    /** Runs what concerns one generation; what goes wrong there ends that one alone. */
    private void guarded(ActiveGeneration generation, Runnable action) {
        try {
            action.run();
        } catch (RuntimeFault fault) {
            fail(generation, fault);
        } catch (RuntimeException e) {
            LOG.error("a generation failed", e);
            fail(generation, RuntimeFault.of(RuntimeFault.Kind.INTERNAL, "the generation failed: " + e));
        }
    }

    private void fail(ActiveGeneration generation, RuntimeFault fault) {
        generation.continuations().forEach(scheduler::remove);
        try {
            generation.fail(fault);
        } catch (RuntimeException e) {
            LOG.error("a sink failed", e);
        }
    }

    private void failAll(RuntimeFault fault) {
        Set<ActiveGeneration> generations = new HashSet<>();
        brokenAtStart.clear();
        unready.clear();
        scheduler.failed();
        scheduler.everything().forEach(s -> generations.add(((Continuation) s).generation));
        generations.forEach(g -> fail(g, fault));
        publish();
    }

    private static int distinct(List<Segment> segments) {
        return (int) segments.stream().map(Segment::adapter).distinct().count();
    }

    /** Stops after the step under way; what is left fails. */
    @Override
    public void close() {
        stopping = true;
        LockSupport.unpark(thread);
        boolean interrupted = false;
        while (thread.isAlive()) {
            try {
                thread.join();
            } catch (InterruptedException e) {
                interrupted = true;
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }
}
