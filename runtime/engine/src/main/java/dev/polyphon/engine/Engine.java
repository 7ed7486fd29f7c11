package dev.polyphon.engine;

import dev.polyphon.engine.Entrance.Asked;
import dev.polyphon.engine.Entrance.Sequences;
import dev.polyphon.engine.adapter.AdapterFolder;
import dev.polyphon.engine.backend.Kernels;
import dev.polyphon.engine.backend.MemoryBudget;
import dev.polyphon.engine.backend.Owned;
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
import dev.polyphon.engine.schedule.Intake;
import dev.polyphon.engine.schedule.Pooled;
import dev.polyphon.engine.schedule.Scored;
import dev.polyphon.engine.schedule.StepLoop;
import dev.polyphon.engine.schedule.merge.MergeOptions;
import dev.polyphon.engine.schedule.merge.Merges;
import dev.polyphon.engine.weights.DType;
import dev.polyphon.runtime.AdapterCatalog;
import dev.polyphon.runtime.AdapterMerges;
import dev.polyphon.runtime.AdapterOperations;
import dev.polyphon.runtime.EmbeddingRequest;
import dev.polyphon.runtime.Generation;
import dev.polyphon.runtime.GenerationRequest;
import dev.polyphon.runtime.ModelInfo;
import dev.polyphon.runtime.Pooling;
import dev.polyphon.runtime.Runtime;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.runtime.RuntimeFault.Kind;
import dev.polyphon.runtime.RuntimeObserver;
import dev.polyphon.runtime.RuntimeStats;
import dev.polyphon.runtime.Sampling;
import dev.polyphon.runtime.SchedulerState;
import dev.polyphon.runtime.Scheduling;
import dev.polyphon.runtime.TextCodec;
import dev.polyphon.runtime.TokenSink;
import java.io.IOException;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.ThreadLocalRandom;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The embedded runtime: one base model, its adapters and its step loop in this process.
 *
 * <p>What may wait (reading adapters) or takes a while (tokenising) runs on virtual threads before a request reaches the step loop.
 */
public final class Engine implements Runtime {
    private static final Logger LOG = LoggerFactory.getLogger(Engine.class);

    private final Owned owned;
    private final ModelText text;
    private final Vocabulary vocabulary;
    /** As prompts are written: special tokens with their text. */
    private final Vocabulary written;
    private final Grammars grammars;
    private final ModelInfo info;
    private final AdapterPool adapters;
    private final Operations operations;
    private final Merges merges;
    private final Intake intake;
    private final StepLoop loop;
    private final Observers observers;
    private final Entrance entrance;
    private volatile boolean draining;

    private Engine(EngineOptions options, Owned owned, ModelText text, Vocabulary vocabulary, ModelInfo info,
            AdapterPool adapters, Operations operations, Merges merges, Intake intake, StepLoop loop, Observers observers, ExecutorService executor) {
        this.owned = owned;
        this.text = text;
        this.vocabulary = vocabulary;
        this.written = new Vocabulary(vocabulary.size(), vocabulary.endTokens(), text::written);
        this.grammars = new Grammars(vocabulary, text.stripsFirstSpace(), executor);
        this.info = info;
        this.adapters = adapters;
        this.operations = operations;
        this.merges = merges;
        this.intake = intake;
        this.loop = loop;
        this.observers = observers;
        this.entrance = new Entrance(options.policy(), text, info, adapters, merges, intake, loop, observers, executor);
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
    public CompletableFuture<SchedulerState> scheduler() {
        return loop.state();
    }

    @Override
    public Optional<TextCodec> text(String model) {
        return model.equals(info.name()) ? Optional.of(text) : Optional.empty();
    }

    @Override
    public Generation generate(GenerationRequest request, TokenSink sink) {
        Sampling sampling = request.sampling();
        Asked asked = new Asked(request.id(), request.model(), request.adapters(), request.prompt(), request.choices(), sampling.maxTokens() < 0 ? 1 : sampling.maxTokens(),
                request.scheduling());
        return start(asked, sink, (generation, prompt, adapter) -> {
            int prefix = adapter == null ? 0 : adapter.prefixLength();
            long seed = sampling.seed().orElseGet(() -> ThreadLocalRandom.current().nextLong());
            Stopping stopping = new Stopping(sampling, vocabulary.endTokens(), info.contextLength() - prefix - prompt.length);
            for (int i = 0; i < request.choices(); i++) {
                Constraint constraint = sampling.grammar() == null ? null : grammars.constrain(sampling.grammar());
                generation.add(prompt, adapter, new Sampler(sampling, seed + i, prompt, vocabulary, constraint), stopping, text.stream(sampling.stop()),
                        i == 0 && sampling.promptLogprobs() >= 0 ? new Scored(prompt, sampling.promptLogprobs(), written) : null);
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

    private Generation start(Asked asked, TokenSink sink, Sequences sequences) {
        if (draining) {
            sink.failed(RuntimeFault.of(Kind.SHUTTING_DOWN, "the server is shutting down"));
            return () -> {};
        }
        return entrance.enter(asked, sink, sequences);
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
