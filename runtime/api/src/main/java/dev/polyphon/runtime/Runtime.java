package dev.polyphon.runtime;

import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;

/**
 * Something that turns prompts into tokens: the engine in this process, or a remote server behind the same interface.
 *
 * <p>All methods may be called from any thread and none of them blocks on computation or I/O.
 */
public interface Runtime extends AutoCloseable {

    /** The base models served here. */
    List<ModelInfo> models();

    default Optional<ModelInfo> model(String name) {
        return models().stream().filter(m -> m.name().equals(name)).findFirst();
    }

    /**
     * Starts a generation. Everything that happens to it, errors included, is told to the sink; this method itself throws nothing that
     * depends on the request.
     */
    Generation generate(GenerationRequest request, TokenSink sink);

    /** Starts the computation of an embedding, of which the sink hears as of a {@linkplain #generate generation} with one choice. */
    default Generation embed(EmbeddingRequest request, TokenSink sink) {
        sink.failed(RuntimeFault.of(RuntimeFault.Kind.UNSUPPORTED, "this runtime computes no embeddings"));
        return () -> {};
    }

    /** What turns a base model's texts into token ids and back; empty where that is done elsewhere. */
    default Optional<TextCodec> text(String model) {
        return Optional.empty();
    }

    /** The adapters this runtime can apply. */
    AdapterCatalog adapters();

    /** Its adapters that are folded into copies of the base's weights. */
    default AdapterMerges merges() {
        return AdapterMerges.NONE;
    }

    /** What can be done with adapters besides applying them. */
    default AdapterOperations operations() {
        return (tenant, operation, to, progress) -> {
            throw RuntimeFault.of(RuntimeFault.Kind.UNSUPPORTED, "this runtime performs no operations on adapters");
        };
    }

    /** What the runtime is doing now; cheap enough to be read on every scrape. */
    RuntimeStats stats();

    /** What its scheduler holds, told between two steps; fails with {@link RuntimeFault.Kind#UNSUPPORTED} where requests are scheduled elsewhere. */
    default CompletableFuture<SchedulerState> scheduler() {
        return CompletableFuture.failedFuture(RuntimeFault.of(RuntimeFault.Kind.UNSUPPORTED, "this runtime does not tell of its scheduler"));
    }

    /** Adds an observer of steps and adapter loads. Observers are called on the runtime's own threads and must not block. */
    void observe(RuntimeObserver observer);

    /** Stops taking requests, and returns once those in flight are done or the time is over; {@link #close()} fails what is left. */
    void drain(java.time.Duration limit) throws InterruptedException;

    @Override
    void close();
}
