package dev.polyphon.server.tenant;

import dev.polyphon.runtime.AdapterCatalog;
import dev.polyphon.runtime.AdapterMerges;
import dev.polyphon.runtime.AdapterOperations;
import dev.polyphon.runtime.AdapterWeight;
import dev.polyphon.runtime.EmbeddingRequest;
import dev.polyphon.runtime.Generation;
import dev.polyphon.runtime.GenerationRequest;
import dev.polyphon.runtime.ModelInfo;
import dev.polyphon.runtime.Prompt;
import dev.polyphon.runtime.Runtime;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.runtime.RuntimeFault.Kind;
import dev.polyphon.runtime.RuntimeObserver;
import dev.polyphon.runtime.RuntimeStats;
import dev.polyphon.runtime.SchedulerState;
import dev.polyphon.runtime.TextCodec;
import dev.polyphon.runtime.TokenSink;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.stream.Collectors;

/**
 * A runtime as tenants have it, whatever protocol they speak: a request gets its tenant's share, is held to its models, adapters and tokens, and is counted.
 *
 * <p>Tokens are set aside before a request runs, as many as it may come to, and set right when it ends.
 */
final class GovernedRuntime implements Runtime {
    /** Set aside for an output without a limit. */
    private static final int OPEN_OUTPUT = 256;

    /** Characters that a token stands for, before the prompt has been read. */
    private static final int CHARACTERS = 4;

    private final Runtime runtime;
    private final Tenants tenants;
    private final UsageMeter meter;
    private final AdapterCatalog catalog;

    GovernedRuntime(Runtime runtime, Tenants tenants, UsageMeter meter) {
        this.runtime = runtime;
        this.tenants = tenants;
        this.meter = meter;
        this.catalog = new GovernedCatalog(runtime.adapters(), tenants);
    }

    @Override
    public Generation generate(GenerationRequest request, TokenSink sink) {
        return start(request.tenant(), request.model(), request.adapters(), promptTokens(request.prompt()) + outputTokens(request), request.choices(), sink,
                (share, metered) -> runtime.generate(request.withScheduling(request.scheduling().withShare(share)), metered));
    }

    @Override
    public Generation embed(EmbeddingRequest request, TokenSink sink) {
        return start(request.tenant(), request.model(), request.adapters(), promptTokens(request.prompt()), 1, sink,
                (share, metered) -> runtime.embed(request.withScheduling(request.scheduling().withShare(share)), metered));
    }

    /** Hands a request on. */
    private interface Start {
        Generation with(double share, TokenSink sink);
    }

    /** @param tokens what it may come to */
    private Generation start(String tenant, String model, List<AdapterWeight> adapters, long tokens, int choices, TokenSink sink, Start start) {
        Account account = tenants.find(tenant).orElse(null);
        try {
            if (account == null || !account.tenant().models().matches(model)) {
                throw RuntimeFault.of(Kind.UNKNOWN_MODEL, "model " + model + " is not served here");
            }
            for (AdapterWeight adapter : adapters) {
                if (catalog.find(tenant, adapter.name()).isEmpty()) {
                    throw RuntimeFault.of(Kind.UNKNOWN_ADAPTER, "adapter " + adapter.name() + " is not registered");
                }
            }
            Account.Reservation reservation = account.reserve(tokens);
            Usage.Kind kind = new Usage.Kind(tenant, model, adapters.size() == 1 ? adapters.getFirst().name()
                    : adapters.stream().map(AdapterWeight::name).collect(Collectors.joining("+")));
            return start.with(account.tenant().share(), new MeteredSink(sink, () -> meter.of(kind), reservation, choices));
        } catch (Denied e) {
            sink.failed(RuntimeFault.limited(e.getMessage(), e.retryAfter()));
        } catch (RuntimeFault e) {
            sink.failed(e);
        }
        return () -> {};
    }

    @Override
    public Optional<TextCodec> text(String model) {
        return runtime.text(model);
    }

    private static long promptTokens(Prompt prompt) {
        return switch (prompt) {
            case Prompt.Tokens tokens -> tokens.ids().length;
            case Prompt.Text text -> 1 + text.text().length() / CHARACTERS;
            case Prompt.Chat chat -> 1 + chat.messages().stream().mapToLong(message -> CHARACTERS * 4L + String.valueOf(message.get("content")).length()).sum() / CHARACTERS;
        };
    }

    private static long outputTokens(GenerationRequest request) {
        int most = request.sampling().maxTokens();
        return (long) request.choices() * (most < 0 ? OPEN_OUTPUT : most);
    }

    @Override
    public List<ModelInfo> models() {
        return runtime.models();
    }

    @Override
    public AdapterCatalog adapters() {
        return catalog;
    }

    @Override
    public AdapterMerges merges() {
        return runtime.merges();
    }

    @Override
    public AdapterOperations operations() {
        return runtime.operations();
    }

    @Override
    public RuntimeStats stats() {
        return runtime.stats();
    }

    @Override
    public CompletableFuture<SchedulerState> scheduler() {
        return runtime.scheduler();
    }

    @Override
    public void observe(RuntimeObserver observer) {
        runtime.observe(observer);
    }

    @Override
    public void drain(Duration limit) throws InterruptedException {
        runtime.drain(limit);
    }

    @Override
    public void close() {
        runtime.close();
    }
}
