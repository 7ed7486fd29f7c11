package dev.polyphon.server.measure;

import dev.polyphon.runtime.AdapterCatalog;
import dev.polyphon.runtime.AdapterId;
import dev.polyphon.runtime.AdapterInfo;
import dev.polyphon.runtime.AdapterPage;
import dev.polyphon.runtime.AdapterQuery;
import dev.polyphon.runtime.AdapterRegistration;
import dev.polyphon.runtime.AdapterTier;
import dev.polyphon.runtime.FinishReason;
import dev.polyphon.runtime.Generation;
import dev.polyphon.runtime.GenerationRequest;
import dev.polyphon.runtime.ModelInfo;
import dev.polyphon.runtime.Runtime;
import dev.polyphon.runtime.RuntimeObserver;
import dev.polyphon.runtime.RuntimeStats;
import dev.polyphon.runtime.TokenEvent;
import dev.polyphon.runtime.TokenSink;
import dev.polyphon.runtime.ToolFormat;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/** A runtime that computes nothing: the tokens of a request are told as soon as it comes, on a thread of their own, as an engine does. */
final class InstantRuntime implements Runtime, AdapterCatalog {
    static final String BASE = "base";
    static final String ADAPTER = "french";
    static final int PROMPT_TOKENS = 64;

    private static final TokenEvent TOKEN = new TokenEvent(0, 7, " token", null);
    private static final AdapterInfo INFO = new AdapterInfo(AdapterId.shared(ADAPTER), "", BASE, "LORA", AdapterRegistration.folder(ADAPTER, BASE, Path.of("/french")).source(),
            Map.of(), false, Instant.EPOCH, null, AdapterTier.LOADED, null, List.of(), 10);

    private final ExecutorService steps = Executors.newSingleThreadExecutor(task -> new Thread(task, "steps"));

    @Override
    public List<ModelInfo> models() {
        return List.of(new ModelInfo(BASE, "llama", 4096, 1000, 4, ToolFormat.HERMES, Instant.EPOCH));
    }

    @Override
    public Generation generate(GenerationRequest request, TokenSink sink) {
        steps.execute(() -> {
            int tokens = request.sampling().maxTokens();
            sink.started(PROMPT_TOKENS, 0);
            for (int i = 0; i < tokens; i++) {
                sink.token(TOKEN);
            }
            sink.finished(0, "", FinishReason.LENGTH, tokens);
        });
        return () -> {};
    }

    @Override
    public AdapterCatalog adapters() {
        return this;
    }

    @Override
    public Optional<AdapterInfo> find(String tenant, String name) {
        return name.equals(ADAPTER) ? Optional.of(INFO) : Optional.empty();
    }

    @Override
    public AdapterPage list(AdapterQuery query) {
        return new AdapterPage(List.of(INFO), null);
    }

    @Override
    public int size() {
        return 1;
    }

    @Override
    public AdapterInfo register(AdapterRegistration registration) {
        throw new UnsupportedOperationException();
    }

    @Override
    public CompletableFuture<AdapterInfo> load(AdapterRegistration registration) {
        throw new UnsupportedOperationException();
    }

    @Override
    public void remove(AdapterId id) {
        throw new UnsupportedOperationException();
    }

    @Override
    public RuntimeStats stats() {
        return new RuntimeStats(0, 0, Map.of(), 0, 0, RuntimeStats.PrefixCache.NONE, 1, 10);
    }

    @Override
    public void observe(RuntimeObserver observer) {}

    @Override
    public void drain(Duration limit) {}

    @Override
    public void close() {
        steps.shutdownNow();
    }
}
