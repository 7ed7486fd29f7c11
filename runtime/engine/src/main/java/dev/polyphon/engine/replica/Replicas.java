package dev.polyphon.engine.replica;

import dev.polyphon.runtime.AdapterCatalog;
import dev.polyphon.runtime.AdapterId;
import dev.polyphon.runtime.AdapterMerges;
import dev.polyphon.runtime.AdapterOperations;
import dev.polyphon.runtime.AdapterWeight;
import dev.polyphon.runtime.EmbeddingRequest;
import dev.polyphon.runtime.Generation;
import dev.polyphon.runtime.GenerationRequest;
import dev.polyphon.runtime.ModelInfo;
import dev.polyphon.runtime.Runtime;
import dev.polyphon.runtime.RuntimeObserver;
import dev.polyphon.runtime.RuntimeStats;
import dev.polyphon.runtime.SchedulerState;
import dev.polyphon.runtime.TextCodec;
import dev.polyphon.runtime.TokenSink;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;

/**
 * Runtimes that serve the same base, one for each device, as one runtime. What is done to adapters is done at each of them; the first one's catalog is what
 * holds, and a replica that could not follow is sent no requests for the adapter. A request goes whole to one replica, as {@link Routing} says.
 */
public final class Replicas implements Runtime {
    private final List<Runtime> replicas;
    private final ReplicatedCatalog catalog;
    private final ReplicatedMerges merges;
    private final Routing routing;

    /** Opens a replica. */
    @FunctionalInterface
    public interface Opener {
        /** @param number from 0 on */
        Runtime open(int number) throws IOException;
    }

    /** @param replicas at least one; closed with this */
    public Replicas(List<? extends Runtime> replicas) {
        this.replicas = List.copyOf(replicas);
        catalog = new ReplicatedCatalog(this.replicas.stream().map(Runtime::adapters).toList());
        routing = new Routing(this.replicas.size());
        merges = new ReplicatedMerges(this.replicas.stream().map(Runtime::merges).toList(), this::home);
    }

    /** Opens so many; when one does not open, those before it are closed. */
    public static Replicas open(int count, Opener opener) throws IOException {
        List<Runtime> opened = new ArrayList<>();
        try {
            for (int i = 0; i < count; i++) {
                opened.add(opener.open(i));
            }
            return new Replicas(opened);
        } catch (IOException | RuntimeException e) {
            opened.forEach(Runtime::close);
            throw e;
        }
    }

    @Override
    public List<ModelInfo> models() {
        return replicas.getFirst().models();
    }

    @Override
    public Optional<TextCodec> text(String model) {
        return replicas.getFirst().text(model);
    }

    @Override
    public AdapterCatalog adapters() {
        return catalog;
    }

    @Override
    public AdapterMerges merges() {
        return merges;
    }

    /** They read files, which one replica knows as well as another. */
    @Override
    public AdapterOperations operations() {
        return replicas.getFirst().operations();
    }

    @Override
    public Generation generate(GenerationRequest request, TokenSink sink) {
        return start(request.tenant(), request.adapters(), request.choices(), sink, (replica, counted) -> replica.generate(request, counted));
    }

    @Override
    public Generation embed(EmbeddingRequest request, TokenSink sink) {
        return start(request.scheduling().tenant(), request.adapters(), 1, sink, (replica, counted) -> replica.embed(request, counted));
    }

    private interface Start {
        Generation at(Runtime replica, TokenSink sink);
    }

    private Generation start(String tenant, List<AdapterWeight> adapters, int sequences, TokenSink sink, Start start) {
        int replica = routing.take(key(tenant, adapters), catalog.knowing(tenant, adapters), sequences);
        return start.at(replicas.get(replica), new CountedSink(sink, sequences, ended -> routing.give(replica, ended)));
    }

    /** Where requests for adapters go unless too many do. */
    private int home(String tenant, List<AdapterWeight> adapters) {
        return Routing.home(key(tenant, adapters), catalog.knowing(tenant, adapters));
    }

    /**
     * Requests with the same key are best served by the same replica: those for the same adapters, whoever asks, since these take memory there; of the bare base
     * those of a tenant, since their prompts may have begun alike.
     */
    private String key(String tenant, List<AdapterWeight> adapters) {
        if (adapters.isEmpty()) {
            return tenant;
        }
        StringBuilder key = new StringBuilder();
        for (AdapterWeight adapter : adapters) {
            key.append('\n').append(catalog.find(tenant, adapter.name()).map(info -> info.id()).orElseGet(() -> AdapterId.shared("unknown")));
        }
        return key.toString();
    }

    @Override
    public RuntimeStats stats() {
        return SummedStats.of(replicas.stream().map(Runtime::stats).toList());
    }

    @Override
    public CompletableFuture<SchedulerState> scheduler() {
        List<CompletableFuture<SchedulerState>> all = replicas.stream().map(Runtime::scheduler).toList();
        return CompletableFuture.allOf(all.toArray(CompletableFuture[]::new)).thenApply(_ -> SchedulerState.sum(all.stream().map(CompletableFuture::join).toList()));
    }

    @Override
    public void observe(RuntimeObserver observer) {
        replicas.forEach(replica -> replica.observe(observer));
    }

    @Override
    public void drain(Duration limit) throws InterruptedException {
        long end = System.nanoTime() + limit.toNanos();
        List<Thread> draining = new ArrayList<>();
        for (Runtime replica : replicas) {
            draining.add(Thread.ofVirtual().start(() -> {
                try {
                    replica.drain(limit);
                } catch (InterruptedException e) {
                    Thread.currentThread().interrupt();
                }
            }));
        }
        for (Thread thread : draining) {
            thread.join(Duration.ofNanos(Math.max(1, end - System.nanoTime())));
        }
    }

    /** Closes each, though one fails. */
    @Override
    public void close() {
        RuntimeException failure = null;
        for (Runtime replica : replicas) {
            try {
                replica.close();
            } catch (RuntimeException e) {
                failure = e;
            }
        }
        if (failure != null) {
            throw failure;
        }
    }
}
