package dev.polyphon.server;

import dev.polyphon.runtime.AdapterCatalog;
import dev.polyphon.runtime.AdapterMerges;
import dev.polyphon.runtime.AdapterOperations;
import dev.polyphon.runtime.EmbeddingRequest;
import dev.polyphon.runtime.FinishReason;
import dev.polyphon.runtime.Generation;
import dev.polyphon.runtime.GenerationRequest;
import dev.polyphon.runtime.ModelInfo;
import dev.polyphon.runtime.Prompt;
import dev.polyphon.runtime.Runtime;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.runtime.RuntimeObserver;
import dev.polyphon.runtime.RuntimeStats;
import dev.polyphon.runtime.SchedulerState;
import dev.polyphon.runtime.TextCodec;
import dev.polyphon.runtime.TokenEvent;
import dev.polyphon.runtime.TokenLogprobs;
import dev.polyphon.runtime.TokenSink;
import dev.polyphon.runtime.ToolFormat;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/**
 * A runtime that computes nothing. It answers a prompt with the words of {@code adapter:prompt}, one a token, on a step thread of its own; or
 * hands each generation to the test, which then plays the runtime.
 */
public final class FakeRuntime implements Runtime {
    public static final String BASE = "org/base-135m";
    public static final int VOCABULARY = 1000;
    public static final int CONTEXT = 512;
    public static final int WIDTH = 4;

    /** A generation in the hands of a test. */
    public record Held(GenerationRequest request, TokenSink sink, CompletableFuture<Void> cancelled) {
        public void token(int choice, int id, String text) {
            sink.token(new TokenEvent(choice, id, text, null));
        }

        public boolean isCancelled() {
            return cancelled.isDone();
        }
    }

    public final List<GenerationRequest> requests = new CopyOnWriteArrayList<>();
    public final List<EmbeddingRequest> embeddings = new CopyOnWriteArrayList<>();
    /** Most embeddings that were asked for and not yet given. */
    public final AtomicInteger mostEmbedding = new AtomicInteger();
    public final BlockingQueue<Held> held = new LinkedBlockingQueue<>();
    final FakeCatalog catalog = new FakeCatalog(BASE);
    public final AtomicInteger running = new AtomicInteger();
    public final AtomicBoolean closed = new AtomicBoolean();
    /** How the model calls tools. */
    public volatile ToolFormat tools = ToolFormat.HERMES;
    /** Whether generations are handed to the test. */
    public volatile boolean manual;
    /** Thrown at requests instead of an answer. */
    public volatile RuntimeFault fault;

    /** What operations do. */
    public volatile AdapterOperations operations = (tenant, operation, to, progress) -> Map.of();

    public final FakeMerges merges = new FakeMerges(catalog);
    private final List<RuntimeObserver> observers = new CopyOnWriteArrayList<>();
    private final ExecutorService steps = Executors.newSingleThreadExecutor(task -> new Thread(task, "fake-steps"));

    @Override
    public List<ModelInfo> models() {
        return List.of(new ModelInfo(BASE, "llama", CONTEXT, VOCABULARY, WIDTH, tools, Instant.ofEpochSecond(1_700_000_000)));
    }

    @Override
    public Generation generate(GenerationRequest request, TokenSink sink) {
        requests.add(request);
        RuntimeFault wrong = fault;
        if (wrong != null) {
            sink.failed(wrong);
            return () -> {};
        }
        running.incrementAndGet();
        var cancelled = new CompletableFuture<Void>();
        cancelled.thenRun(running::decrementAndGet);
        if (manual) {
            held.add(new Held(request, sink, cancelled));
        } else {
            steps.execute(() -> {
                answer(request, sink);
                running.decrementAndGet();
            });
            return () -> {};
        }
        return () -> cancelled.complete(null);
    }

    /** Embeds a prompt as its tokens, whether there is an adapter, and the pooling, unless the test holds it. */
    @Override
    public Generation embed(EmbeddingRequest request, TokenSink sink) {
        embeddings.add(request);
        RuntimeFault wrong = fault;
        if (wrong != null) {
            sink.failed(wrong);
            return () -> {};
        }
        running.incrementAndGet();
        mostEmbedding.accumulateAndGet(running.get(), Math::max);
        steps.execute(() -> {
            int tokens = promptTokens(request.prompt());
            sink.started(tokens, 0);
            sink.embedded(new float[] {tokens, request.adapters().size(), request.pooling().ordinal(), request.normalize() ? 1 : 0.1f});
            running.decrementAndGet();
            sink.finished(0, "", FinishReason.STOP, 0);
        });
        return () -> {};
    }

    /** Tokens are characters; token 0 is special. */
    @Override
    public Optional<TextCodec> text(String model) {
        return Optional.of(new TextCodec() {
            @Override
            public int[] encode(Prompt prompt) {
                boolean special = prompt instanceof Prompt.Text text && text.addSpecialTokens();
                return IntStream.concat(special ? IntStream.of(0) : IntStream.empty(), FakeRuntime.text(prompt).chars()).toArray();
            }

            @Override
            public String decode(int[] ids) {
                return Arrays.stream(ids).mapToObj(id -> id == 0 ? "<s>" : Character.toString(id)).collect(Collectors.joining());
            }
        });
    }

    private static void answer(GenerationRequest request, TokenSink sink) {
        String text = (request.adapters().isEmpty() ? "base" : request.adapters().getFirst().name()) + ":" + text(request.prompt());
        List<String> words = words(text);
        int limit = request.sampling().maxTokens() < 0 ? Integer.MAX_VALUE : request.sampling().maxTokens();
        int count = Math.min(limit, words.size());
        sink.queued();
        sink.started(promptTokens(request.prompt()), text(request.prompt()).startsWith("again") ? 1 : 0);
        if (request.sampling().promptLogprobs() >= 0) {
            sink.scored(scores(request.prompt(), request.sampling().promptLogprobs()));
        }
        for (int i = 0; i < count; i++) {
            for (int choice = 0; choice < request.choices(); choice++) {
                sink.token(event(choice, words.get(i), request.sampling().logprobs()));
            }
        }
        for (int choice = 0; choice < request.choices(); choice++) {
            sink.finished(choice, "", count < words.size() ? FinishReason.LENGTH : FinishReason.STOP, count);
        }
    }

    /** Of a text's words, behind one for its beginning, or of token ids; the one at place i is as likely as e to the -i. */
    private static List<TokenLogprobs> scores(Prompt prompt, int most) {
        var pieces = new ArrayList<String>();
        if (prompt instanceof Prompt.Tokens(int[] ids)) {
            Arrays.stream(ids).forEach(id -> pieces.add(Character.toString(id)));
        } else {
            pieces.add("<s>");
            pieces.addAll(words(text(prompt)));
        }
        var scores = new ArrayList<TokenLogprobs>();
        for (int i = 0; i < pieces.size(); i++) {
            var top = new ArrayList<TokenLogprobs.Entry>();
            for (int k = 0; i > 0 && k < most; k++) {
                top.add(new TokenLogprobs.Entry(50 + k, ("alt" + k).getBytes(StandardCharsets.UTF_8), -0.5f - k));
            }
            scores.add(new TokenLogprobs(new TokenLogprobs.Entry(i, pieces.get(i).getBytes(StandardCharsets.UTF_8), i == 0 ? Float.NaN : -i), top));
        }
        return scores;
    }

    /** Choices differ in their log probabilities only: later ones are likelier. */
    private static TokenEvent event(int choice, String word, int logprobs) {
        TokenLogprobs detail = null;
        if (logprobs >= 0) {
            var chosen = new TokenLogprobs.Entry(7, word.getBytes(StandardCharsets.UTF_8), -2f / (choice + 1));
            var top = new ArrayList<TokenLogprobs.Entry>();
            for (int i = 0; i < logprobs; i++) {
                top.add(i == 0 ? chosen : new TokenLogprobs.Entry(7 + i, ("alt" + i).getBytes(StandardCharsets.UTF_8), -3f - i));
            }
            detail = new TokenLogprobs(chosen, top);
        }
        return new TokenEvent(choice, 7, word, detail);
    }

    public static String text(Prompt prompt) {
        return switch (prompt) {
            case Prompt.Text text -> text.text();
            case Prompt.Tokens tokens -> "<" + tokens.ids().length + " tokens>";
            case Prompt.Chat chat -> String.valueOf(chat.messages().getLast().get("content"));
        };
    }

    private static int promptTokens(Prompt prompt) {
        return prompt instanceof Prompt.Tokens tokens ? tokens.ids().length : words(text(prompt)).size();
    }

    /** Words with the space before them. */
    private static List<String> words(String text) {
        return List.of(text.split("(?= )"));
    }

    /** Computes nothing more until a latch is open. */
    public void hold(CountDownLatch until) {
        steps.execute(() -> {
            try {
                until.await();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        });
    }

    public void addAdapter(String name) {
        catalog.add(name);
    }

    public void tell(Consumer<RuntimeObserver> event) {
        observers.forEach(event);
    }

    @Override
    public AdapterCatalog adapters() {
        return catalog;
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
    public RuntimeStats stats() {
        return new RuntimeStats(running.get(), 3, Map.of("t", 3), 100, 42, RuntimeStats.PrefixCache.NONE, catalog.size(), 4096);
    }

    @Override
    public CompletableFuture<SchedulerState> scheduler() {
        return CompletableFuture.completedFuture(new SchedulerState(running.get(), 3, 100, 42, 7, List.of(new SchedulerState.Counter("t", List.of(), 2, 12.5, 0, 3),
                new SchedulerState.Counter("u", List.of("french"), 1, 3, 1, 0))));
    }

    @Override
    public void observe(RuntimeObserver observer) {
        observers.add(observer);
    }

    @Override
    public void drain(Duration limit) {}

    @Override
    public void close() {
        closed.set(true);
        steps.shutdownNow();
    }
}
