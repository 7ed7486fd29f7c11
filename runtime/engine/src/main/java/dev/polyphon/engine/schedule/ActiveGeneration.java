package dev.polyphon.engine.schedule;

import dev.polyphon.engine.model.AdapterWeights;
import dev.polyphon.engine.sample.Sampler;
import dev.polyphon.engine.sample.Stopping;
import dev.polyphon.engine.text.TextStream;
import dev.polyphon.runtime.AdapterWeight;
import dev.polyphon.runtime.FinishReason;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.runtime.Scheduling;
import dev.polyphon.runtime.TokenSink;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/** A request inside the step loop: its continuations and the sink that hears of them. */
public final class ActiveGeneration {
    /** What a generation needs of others while it is computed. Called on the step loop's thread; waits for nothing. */
    public interface Hold {
        /** Takes hold before anything is computed; false when what is needed is gone. */
        boolean fasten();

        /** Instead of being computed, the generation has left the step loop for want of it; its sink has heard nothing. */
        void lost();

        /** The generation has ended, its sink has heard so. */
        void release();
    }

    private final Scheduling scheduling;
    private final TokenSink sink;
    private final Hold hold;
    private final List<Continuation> continuations = new ArrayList<>();
    private final Standing standing;
    private final long arrived;
    private int open;
    private boolean held;
    private boolean lost;
    private boolean started;
    private boolean ended;

    /** One continuation with what chooses and ends its tokens, or, without these, a prompt whose hidden states are pooled. */
    static final class Continuation extends Sequence {
        final ActiveGeneration generation;
        final int choice;
        final Sampler sampler;
        final Stopping stopping;
        final TextStream text;
        final Pooled pooled;
        /** Null when its prompt's tokens are not scored. */
        final Scored scored;
        boolean finished;

        private Continuation(ActiveGeneration generation, int[] prompt, AdapterWeights adapter, Sampler sampler, Stopping stopping, TextStream text,
                Pooled pooled, Scored scored) {
            super(prompt, adapter, generation.standing);
            this.generation = generation;
            this.choice = generation.continuations.size();
            this.sampler = sampler;
            this.stopping = stopping;
            this.text = text;
            this.pooled = pooled;
            this.scored = scored;
        }

        @Override
        int reusable() {
            return scored == null ? super.reusable() : Math.min(super.reusable(), scored.readable(this));
        }

        /** Whether tokens are chosen for it. */
        boolean generates() {
            return pooled == null && stopping.limit() > 0;
        }
    }

    /**
     * @param policy says whom its service is counted to, and whose prefixes it uses
     * @param adapters what it asks for
     * @param arrived when the request arrived, by {@link StepLoop#now}
     * @param hold taken before its first step, and released or lost once
     */
    public ActiveGeneration(SchedulePolicy policy, Scheduling scheduling, List<AdapterWeight> adapters, long arrived, TokenSink sink, Hold hold) {
        this.scheduling = scheduling;
        this.standing = Standing.of(scheduling, policy.fairness().client(scheduling.tenant(), adapters), policy.prefixCache().scope(scheduling), arrived);
        this.arrived = arrived;
        this.sink = sink;
        this.hold = hold;
    }

    /**
     * Adds a continuation; all are added before the generation is submitted.
     *
     * @param scored of its prompt, for the first only; null for none. The other continuations begin when that is known
     */
    public void add(int[] prompt, AdapterWeights adapter, Sampler sampler, Stopping stopping, TextStream text, Scored scored) {
        add(new Continuation(this, prompt, adapter, sampler, stopping, text, null, scored));
    }

    /** Adds a prompt to be embedded; before the generation is submitted. */
    public void add(int[] prompt, AdapterWeights adapter, Pooled pooled) {
        add(new Continuation(this, prompt, adapter, null, null, TextStream.none(), pooled, null));
    }

    private void add(Continuation continuation) {
        continuations.add(continuation);
        open++;
    }

    /** Those that begin at once. */
    List<Continuation> first() {
        return continuations.getFirst().scored == null ? continuations : continuations.subList(0, 1);
    }

    /** Those that begin after the first has told how likely the prompt is: they find what it computed. */
    List<Continuation> others() {
        return continuations.subList(first().size(), continuations.size());
    }

    List<Continuation> continuations() {
        return continuations;
    }

    Scheduling scheduling() {
        return scheduling;
    }

    long arrived() {
        return arrived;
    }

    /** Whether what it needs is there; from then on it is held. */
    boolean ready() {
        held = held || hold.fasten();
        return held;
    }

    /** It leaves without a word. */
    void leave() {
        lost = true;
        hold.lost();
    }

    /** Whether it has left. */
    boolean lost() {
        return lost;
    }

    /** Whether any of its tokens were computed. */
    boolean started() {
        return started;
    }

    TokenSink sink() {
        return sink;
    }

    /** Tells the sink that the first of its tokens are about to be computed, by this one of its continuations; false when that was told before. */
    boolean start(Sequence first) {
        if (started) {
            return false;
        }
        started = true;
        sink.started(first.promptTokens(), first.cachedTokens());
        return true;
    }

    void finish(Continuation continuation, String text, FinishReason reason) {
        continuation.finished = true;
        sink.finished(continuation.choice, text, reason, continuation.generated());
        if (--open == 0) {
            end();
        }
    }

    void fail(RuntimeFault fault) {
        if (ended) {
            return;
        }
        continuations.forEach(c -> c.finished = true);
        try {
            sink.failed(fault);
        } finally {
            end();
        }
    }

    /** Why it ends when it has not begun in its time. */
    RuntimeFault overdue(Duration retryAfter) {
        return RuntimeFault.queueTimeout("the request waited " + scheduling.maxWait().toMillis() / 1000.0 + " s in the queue, as long as it may", retryAfter);
    }

    boolean ended() {
        return ended;
    }

    private void end() {
        if (!ended) {
            ended = true;
            hold.release();
        }
    }
}
