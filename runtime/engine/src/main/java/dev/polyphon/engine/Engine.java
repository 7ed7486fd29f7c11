package dev.polyphon.engine;

import dev.polyphon.engine.adapter.AdapterFolder;
import dev.polyphon.engine.backend.Kernels;
import dev.polyphon.engine.backend.MemoryBudget;
import dev.polyphon.engine.backend.Owned;
import dev.polyphon.engine.model.AdapterWeights;
import dev.polyphon.engine.model.ArchitectureSpec;
import dev.polyphon.engine.model.BaseWeights;
import dev.polyphon.engine.model.Checkpoint;
import dev.polyphon.engine.model.Decoder;
import dev.polyphon.engine.model.Module;
import dev.polyphon.engine.model.Site;
import dev.polyphon.engine.pool.AdapterPool;
import dev.polyphon.engine.sample.Sampler;
import dev.polyphon.engine.sample.Stopping;
import dev.polyphon.engine.sample.Vocabulary;
import dev.polyphon.engine.sample.grammar.Constraint;
import dev.polyphon.engine.sample.grammar.Grammars;
import dev.polyphon.engine.schedule.ActiveGeneration;
import dev.polyphon.engine.schedule.Intake;
import dev.polyphon.engine.schedule.Pooled;
import dev.polyphon.engine.schedule.StepLoop;
import dev.polyphon.engine.schedule.merge.MergeOptions;
import dev.polyphon.engine.schedule.merge.Merges;
import dev.polyphon.engine.weights.DType;
import dev.polyphon.runtime.AdapterCatalog;
import dev.polyphon.runtime.AdapterMerges;
import dev.polyphon.runtime.AdapterOperations;
import dev.polyphon.runtime.AdapterWeight;
import dev.polyphon.runtime.EmbeddingRequest;
import dev.polyphon.runtime.FinishReason;
import dev.polyphon.runtime.Generation;
import dev.polyphon.runtime.GenerationRequest;
import dev.polyphon.runtime.ModelInfo;
import dev.polyphon.runtime.Pooling;
import dev.polyphon.runtime.Prompt;
import dev.polyphon.runtime.Runtime;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.runtime.RuntimeFault.Kind;
import dev.polyphon.runtime.RuntimeObserver;
import dev.polyphon.runtime.RuntimeStats;
import dev.polyphon.runtime.Sampling;
import dev.polyphon.runtime.Scheduling;
import dev.polyphon.runtime.TextCodec;
import dev.polyphon.runtime.TokenSink;
import java.io.IOException;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The embedded runtime: one base model, its adapters and its step loop in this process.
 *
 * <p>What may wait (reading adapters) or takes a while (tokenising) runs on virtual threads before a request reaches the step loop.
 */
public final class Engine implements Runtime {
    private static final Logger LOG = LoggerFactory.getLogger(Engine.class);

    private final EngineOptions options;
    private final Owned owned;
    private final ModelText text;
    private final Vocabulary vocabulary;
    private final Grammars grammars;
    private final ModelInfo info;
    private final AdapterPool adapters;
    private final Operations operations;
    private final Merges merges;
    private final Intake intake;
    private final StepLoop loop;
    private final Observers observers;
    private final ExecutorService executor;
    private volatile boolean draining;

    private Engine(EngineOptions options, Owned owned, ModelText text, Vocabulary vocabulary, ModelInfo info,
            AdapterPool adapters, Operations operations, Merges merges, Intake intake, StepLoop loop, Observers observers, ExecutorService executor) {
        this.options = options;
        this.owned = owned;
        this.text = text;
        this.vocabulary = vocabulary;
        this.grammars = new Grammars(vocabulary, text.stripsFirstSpace(), executor);
        this.info = info;
        this.adapters = adapters;
        this.operations = operations;
        this.merges = merges;
        this.intake = intake;
        this.loop = loop;
        this.observers = observers;
        this.executor = executor;
    }

    /** The same, merging nothing but what is asked for. */
    public static Engine open(EngineOptions options, Kernels kernels) throws IOException {
        return open(options, MergeOptions.DEFAULT, kernels);
    }

    /** Loads a model and starts its step loop on given kernels, which the engine closes. */
    public static Engine open(EngineOptions options, MergeOptions merging, Kernels kernels) throws IOException {
        Owned owned = new Owned();
        try {
            owned.own(kernels);
            Checkpoint checkpoint = owned.own(Checkpoint.open(options.model()));
            ArchitectureSpec spec = checkpoint.spec();
            Opening<ModelText> opening = owned.own(new Opening<>("text", () -> ModelText.open(options.model())));
            BaseWeights weights = owned.own(new BaseWeights(kernels, checkpoint));
            ModelText text = opening.get();
            ExecutorService executor = owned.own(Executors.newVirtualThreadPerTaskExecutor());
            DType kvType = kernels.kvType(checkpoint.required(new Site(0, Module.K)).weight().dtype());
            int sure = Kv.sure(options, spec, kvType);
            int context = Math.min(options.contextLength() > 0 ? Math.min(options.contextLength(), spec.context()) : spec.context(),
                    sure * options.blockSize());
            Decoder decoder = owned.own(new Decoder(kernels, spec, weights, options.stepTokens(), options.maxSequences(), context));
            DeviceRoom room = DeviceRoom.of(options, sure * Kv.blockBytes(options, spec, kvType), merging.bytes(), kernels.freeBytes());
            MemoryBudget budget = new MemoryBudget(room.sharedBytes());
            Kv kv = Kv.of(options, spec, kernels, kvType, room.sharedBytes(), owned, budget, executor);
            Observers observers = new Observers();
            AdapterPool adapters = owned.own(new AdapterPool(options.name(), options.adapters(), budget.account(room.adapterBytes()),
                    parts -> AdapterFolder.load(parts, checkpoint, kernels), executor, observers));
            Intake intake = new Intake(options.queueLimit(), options.policy().tenantQueueLimit(), System::nanoTime);
            Merges merges = owned.own(new Merges(merging, adapters, checkpoint, kernels, options.stepTokens()));
            StepLoop loop = owned.own(new StepLoop(decoder, kv.cache(), kv.memory(), spec.vocabulary(), options.policy(),
                    () -> intake.retryAfter(1), observers, merges));
            merges.start(loop::busy);
            Vocabulary vocabulary = new Vocabulary(spec.vocabulary(), text.endTokens(), text::bytes);
            ModelInfo info = new ModelInfo(options.name(), spec.family(), context, spec.vocabulary(), spec.hidden(), text.tools(), Instant.now());
            LOG.info("{}: {} layers, {} wide, context {}, up to {} KV blocks of {} on {}", options.name(), spec.layers().size(), spec.hidden(), context,
                    kv.cache().blocks(), options.blockSize(), kernels.describe());
            return new Engine(options, owned, text, vocabulary, info, adapters, new Operations(adapters::folder, checkpoint), merges, intake, loop,
                    observers, executor);
        } catch (IOException | RuntimeException e) {
            owned.close();
            throw e;
        }
    }

    @Override
    public List<ModelInfo> models() {
        return List.of(info);
    }

    @Override
    public AdapterCatalog adapters() {
        return adapters.catalog();
    }

    @Override
    public AdapterMerges merges() {
        return merges;
    }

    @Override
    public AdapterOperations operations() {
        return operations;
    }

    @Override
    public void observe(RuntimeObserver observer) {
        observers.add(observer);
    }

    @Override
    public RuntimeStats stats() {
        return new RuntimeStats(loop.running(), loop.waiting(), loop.waitingByTenant(), loop.blocks(), loop.blocksUsed(), loop.prefixCache(),
                adapters.loaded(), adapters.bytes(), adapters.tiers());
    }

    @Override
    public Optional<TextCodec> text(String model) {
        return model.equals(info.name()) ? Optional.of(text) : Optional.empty();
    }

    @Override
    public Generation generate(GenerationRequest request, TokenSink sink) {
        Sampling sampling = request.sampling();
        Asked asked = new Asked(request.id(), request.model(), request.adapters(), request.prompt(), request.choices(), Math.max(sampling.maxTokens(), 1),
                request.scheduling());
        return start(asked, sink, (generation, prompt, adapter) -> {
            int prefix = adapter == null ? 0 : adapter.prefixLength();
            long seed = sampling.seed().orElseGet(() -> ThreadLocalRandom.current().nextLong());
            Stopping stopping = new Stopping(sampling, vocabulary.endTokens(), info.contextLength() - prefix - prompt.length);
            for (int i = 0; i < request.choices(); i++) {
                Constraint constraint = sampling.grammar() == null ? null : grammars.constrain(sampling.grammar());
                generation.add(prompt, adapter, new Sampler(sampling, seed + i, prompt, vocabulary, constraint), stopping, text.stream(sampling.stop()));
            }
        });
    }

    @Override
    public Generation embed(EmbeddingRequest request, TokenSink sink) {
        // A mean needs what all of the prompt comes to, and the cache has keys and values only.
        Scheduling scheduling = request.pooling() == Pooling.LAST ? request.scheduling() : request.scheduling().withCacheScope(Scheduling.UNCACHED);
        Asked asked = new Asked(request.id(), request.model(), request.adapters(), request.prompt(), 1, 0, scheduling);
        return start(asked, sink, (generation, prompt, adapter) ->
                generation.add(prompt, adapter, new Pooled(request.pooling(), info.width(), request.normalize(), sink::embedded)));
    }

    /**
     * What requests of all kinds have.
     *
     * @param sequences how many it becomes
     * @param wanted least tokens that must find room after the prompt
     */
    private record Asked(String id, String model, List<AdapterWeight> adapters, Prompt prompt, int sequences, int wanted, Scheduling scheduling) {}

    /** Adds a request's sequences to its generation. */
    private interface Sequences {
        void addTo(ActiveGeneration generation, int[] prompt, AdapterWeights adapter);
    }

    private Generation start(Asked asked, TokenSink sink, Sequences sequences) {
        PendingGeneration pending = new PendingGeneration(loop);
        String tenant = asked.scheduling.tenant();
        if (draining) {
            sink.failed(RuntimeFault.of(Kind.SHUTTING_DOWN, "the server is shutting down"));
            return pending;
        }
        try {
            intake.accept(tenant, asked.sequences);
        } catch (RuntimeFault full) {
            sink.failed(full);
            return pending;
        }
        long arrived = loop.now();
        try {
            executor.execute(() -> prepare(asked, limited(asked.scheduling), arrived, sink, pending, sequences));
        } catch (RejectedExecutionException e) {
            intake.end(tenant, asked.sequences);
            sink.failed(RuntimeFault.of(Kind.SHUTTING_DOWN, "the server is shutting down"));
        }
        return pending;
    }

    /** Everything between a request and the step loop's inbox. */
    private void prepare(Asked asked, Scheduling scheduling, long arrived, TokenSink sink, PendingGeneration pending, Sequences sequences) {
        Merges.Use use = null;
        try {
            if (!asked.model.equals(info.name())) {
                throw RuntimeFault.of(Kind.UNKNOWN_MODEL, "model " + asked.model + " is not served here");
            }
            int[] prompt = text.encode(asked.prompt);
            check(prompt, asked.wanted, 0);
            use = acquire(asked.adapters, scheduling, arrived, pending);
            AdapterWeights adapter = use == null ? null : use.weights();
            check(prompt, asked.wanted, adapter == null ? 0 : adapter.prefixLength());
            Merges.Use held = use;
            ActiveGeneration generation = new ActiveGeneration(options.policy(), scheduling, asked.adapters, arrived, sink, () -> {
                intake.end(scheduling.tenant(), asked.sequences);
                if (held != null) {
                    held.close();
                }
            });
            sequences.addTo(generation, prompt, adapter);
            pending.submit(generation);
        } catch (CancellationException e) {
            intake.end(scheduling.tenant(), asked.sequences);
            for (int i = 0; i < asked.sequences; i++) {
                sink.finished(i, "", FinishReason.CANCELLED, 0);
            }
        } catch (RuntimeException e) {
            intake.end(scheduling.tenant(), asked.sequences);
            if (use != null) {
                use.close();
            }
            if (!(e instanceof RuntimeFault)) {
                LOG.error("request {} failed", asked.id, e);
            }
            sink.failed(e instanceof RuntimeFault fault ? fault : RuntimeFault.of(Kind.INTERNAL, "the request failed: " + e, e));
        }
    }

    private void check(int[] prompt, int wanted, int prefix) {
        if (prompt.length == 0) {
            throw RuntimeFault.invalid("prompt", "the prompt has no tokens; at least 1 is needed");
        }
        for (int token : prompt) {
            if (token < 0 || token >= info.vocabulary()) {
                throw RuntimeFault.invalid("prompt", "token id " + token + " is outside the vocabulary of " + info.vocabulary());
            }
        }
        long total = (long) prefix + prompt.length + wanted;
        if (total > info.contextLength()) {
            throw RuntimeFault.of(Kind.CONTEXT_EXCEEDED, "This model's maximum context length is " + info.contextLength()
                    + " tokens. However, you requested " + total + " tokens (" + prompt.length + " in the prompt"
                    + (prefix > 0 ? ", " + prefix + " before it by the adapter" : "") + (wanted > 0 ? ", " + wanted + " in the completion" : "") + ").");
        }
    }

    /** A hold on what is named; waiting for it is waiting in the queue, and ends when the request is cancelled. */
    private Merges.Use acquire(List<AdapterWeight> named, Scheduling scheduling, long arrived, PendingGeneration pending) {
        if (named.isEmpty()) {
            return null;
        }
        long left = TimeUnit.NANOSECONDS.convert(scheduling.maxWait()) - (loop.now() - arrived);
        CompletableFuture<AdapterPool.Lease> lease = adapters.acquire(scheduling.tenant(), named, Duration.ofNanos(Math.max(0, left)));
        pending.waitFor(lease);
        try {
            return merges.use(lease.join());
        } catch (CompletionException e) {
            RuntimeFault fault = AdapterPool.fault(e);
            if (fault.kind() == Kind.QUEUE_TIMEOUT) {
                observers.expired(scheduling.tenant());
            }
            throw fault;
        }
    }

    private Scheduling limited(Scheduling scheduling) {
        return options.policy().maxWait() == null || !scheduling.maxWait().equals(Scheduling.NO_LIMIT)
                ? scheduling
                : scheduling.withMaxWait(options.policy().maxWait());
    }

    @Override
    public void drain(Duration limit) throws InterruptedException {
        draining = true;
        long end = System.nanoTime() + limit.toNanos();
        while (intake.accepted() > 0 && System.nanoTime() < end) {
            Thread.sleep(10);
        }
    }

    @Override
    public void close() {
        draining = true;
        owned.close();
    }
}
