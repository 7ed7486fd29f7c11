package dev.polyphon.engine;

import dev.polyphon.engine.model.AdapterWeights;
import dev.polyphon.engine.pool.AdapterPool;
import dev.polyphon.engine.schedule.ActiveGeneration;
import dev.polyphon.engine.schedule.Intake;
import dev.polyphon.engine.schedule.SchedulePolicy;
import dev.polyphon.engine.schedule.StepLoop;
import dev.polyphon.engine.schedule.merge.Merges;
import dev.polyphon.runtime.AdapterWeight;
import dev.polyphon.runtime.FinishReason;
import dev.polyphon.runtime.Generation;
import dev.polyphon.runtime.ModelInfo;
import dev.polyphon.runtime.Prompt;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.runtime.RuntimeFault.Kind;
import dev.polyphon.runtime.RuntimeObserver;
import dev.polyphon.runtime.Scheduling;
import dev.polyphon.runtime.TokenSink;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.Executor;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Takes requests in: counts them, makes tokens of their prompts, has their adapters loaded, and hands them to the step loop. Thread-safe; what waits does so
 * on the executor.
 *
 * <p>While a request is in the step loop's queue, its adapter is only kept for it as long as no tenant that has less needs the room
 * ({@link AdapterPool.Lease#loosen}): so nobody fills the memory with adapters of requests that wait. A request whose adapter is gone when its turn comes leaves
 * the queue, and comes back to its place in it when the adapter has come again.
 */
final class Entrance {
    private static final Logger LOG = LoggerFactory.getLogger(Entrance.class);

    private final SchedulePolicy policy;
    private final ModelText text;
    private final ModelInfo info;
    private final AdapterPool adapters;
    private final Merges merges;
    private final Intake intake;
    private final StepLoop loop;
    private final RuntimeObserver observer;
    private final Executor executor;

    /**
     * What requests of all kinds have.
     *
     * @param sequences how many it becomes
     * @param wanted least tokens that must find room after the prompt
     */
    record Asked(String id, String model, List<AdapterWeight> adapters, Prompt prompt, int sequences, int wanted, Scheduling scheduling) {}

    /** Adds a request's sequences to its generation. */
    interface Sequences {
        void addTo(ActiveGeneration generation, int[] prompt, AdapterWeights adapter);
    }

    Entrance(SchedulePolicy policy, ModelText text, ModelInfo info, AdapterPool adapters, Merges merges, Intake intake, StepLoop loop, RuntimeObserver observer,
            Executor executor) {
        this.policy = policy;
        this.text = text;
        this.info = info;
        this.adapters = adapters;
        this.merges = merges;
        this.intake = intake;
        this.loop = loop;
        this.observer = observer;
        this.executor = executor;
    }

    /** Takes a request in; its sink hears of everything else. */
    Generation enter(Asked asked, TokenSink sink, Sequences sequences) {
        PendingGeneration pending = new PendingGeneration(loop);
        try {
            intake.accept(asked.scheduling.tenant(), asked.sequences);
        } catch (RuntimeFault full) {
            sink.failed(full);
            return pending;
        }
        new Arrival(asked, sink, sequences, pending).proceed();
        return pending;
    }

    /** A request on its way to the step loop. */
    private final class Arrival implements ActiveGeneration.Hold {
        private final Asked asked;
        private final Scheduling scheduling;
        private final TokenSink sink;
        private final Sequences sequences;
        private final PendingGeneration pending;
        private final long arrived = loop.now();
        private int[] prompt;
        private Merges.Use use;

        Arrival(Asked asked, TokenSink sink, Sequences sequences, PendingGeneration pending) {
            this.asked = asked;
            this.scheduling = limited(asked.scheduling);
            this.sink = sink;
            this.sequences = sequences;
            this.pending = pending;
        }

        void proceed() {
            try {
                executor.execute(this::prepare);
            } catch (RejectedExecutionException e) {
                fail(RuntimeFault.of(Kind.SHUTTING_DOWN, "the server is shutting down"));
            }
        }

        private void prepare() {
            try {
                encode();
                use = acquire();
                AdapterWeights adapter = use == null ? null : use.weights();
                check(adapter == null ? 0 : adapter.prefixLength());
                ActiveGeneration generation = new ActiveGeneration(policy, scheduling, asked.adapters, arrived, sink, this);
                sequences.addTo(generation, prompt, adapter);
                if (use != null) {
                    use.loosen();
                }
                sink.queued();
                pending.submit(generation);
            } catch (CancellationException e) {
                release();
                for (int i = 0; i < asked.sequences; i++) {
                    sink.finished(i, "", FinishReason.CANCELLED, 0);
                }
            } catch (RuntimeException e) {
                if (!(e instanceof RuntimeFault)) {
                    LOG.error("request {} failed", asked.id, e);
                }
                fail(e instanceof RuntimeFault fault ? fault : RuntimeFault.of(Kind.INTERNAL, "the request failed: " + e, e));
            }
        }

        private void fail(RuntimeFault fault) {
            release();
            sink.failed(fault);
        }

        private void encode() {
            if (prompt == null) {
                if (!asked.model.equals(info.name())) {
                    throw RuntimeFault.of(Kind.UNKNOWN_MODEL, "model " + asked.model + " is not served here");
                }
                prompt = text.encode(asked.prompt);
                check(0);
            }
        }

        private void check(int prefix) {
            if (prompt.length == 0) {
                throw RuntimeFault.invalid("prompt", "the prompt has no tokens; at least 1 is needed");
            }
            for (int token : prompt) {
                if (token < 0 || token >= info.vocabulary()) {
                    throw RuntimeFault.invalid("prompt", "token id " + token + " is outside the vocabulary of " + info.vocabulary());
                }
            }
            long total = (long) prefix + prompt.length + asked.wanted;
            if (total > info.contextLength()) {
                throw RuntimeFault.of(Kind.CONTEXT_EXCEEDED, "This model's maximum context length is " + info.contextLength()
                        + " tokens. However, you requested " + total + " tokens (" + prompt.length + " in the prompt"
                        + (prefix > 0 ? ", " + prefix + " before it by the adapter" : "") + (asked.wanted > 0 ? ", " + asked.wanted + " in the completion" : "")
                        + ").");
            }
        }

        /** A hold on what is named; waiting for it is waiting in the queue, and ends when the request is cancelled. */
        private Merges.Use acquire() {
            if (asked.adapters.isEmpty()) {
                return null;
            }
            Duration left = Duration.ofNanos(Math.max(0, TimeUnit.NANOSECONDS.convert(scheduling.maxWait()) - (loop.now() - arrived)));
            CompletableFuture<AdapterPool.Lease> lease = use == null
                    ? adapters.acquire(scheduling.tenant(), asked.adapters, left)
                    : adapters.again(use.lease(), scheduling.tenant(), left);
            pending.waitFor(lease);
            try {
                return merges.use(lease.join());
            } catch (CompletionException e) {
                RuntimeFault fault = AdapterPool.fault(e);
                if (fault.kind() == Kind.QUEUE_TIMEOUT) {
                    observer.expired(scheduling.tenant());
                }
                throw fault;
            }
        }

        @Override
        public boolean fasten() {
            return use == null || use.fasten();
        }

        @Override
        public void lost() {
            pending.withdraw();
            proceed();
        }

        @Override
        public void release() {
            intake.end(scheduling.tenant(), asked.sequences);
            if (use != null) {
                use.close();
            }
        }
    }

    private Scheduling limited(Scheduling scheduling) {
        return policy.maxWait() == null || !scheduling.maxWait().equals(Scheduling.NO_LIMIT) ? scheduling : scheduling.withMaxWait(policy.maxWait());
    }
}
