package dev.polyphon.engine;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.polyphon.engine.backend.cpu.CpuKernels;
import dev.polyphon.engine.pool.PoolOptions;
import dev.polyphon.engine.schedule.SchedulePolicy;
import dev.polyphon.runtime.AdapterId;
import dev.polyphon.runtime.AdapterInfo;
import dev.polyphon.runtime.AdapterQuery;
import dev.polyphon.runtime.AdapterRegistration;
import dev.polyphon.runtime.AdapterWeight;
import dev.polyphon.runtime.FinishReason;
import dev.polyphon.runtime.Generation;
import dev.polyphon.runtime.GenerationRequest;
import dev.polyphon.runtime.Prompt;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.runtime.RuntimeFault.Kind;
import dev.polyphon.runtime.RuntimeObserver;
import dev.polyphon.runtime.Sampling;
import dev.polyphon.runtime.TokenEvent;
import dev.polyphon.runtime.TokenSink;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class EngineTest {
    private static final Path BASE = Path.of("src/test/resources/golden/bases/llama");
    private static final int CONTEXT = 512;

    @TempDir
    Path folder;

    private Engine engine;

    @BeforeEach
    void open() throws IOException {
        EngineOptions options = EngineOptions.of("tiny", BASE).withSteps(8, 32).withKv(4 << 20, 16).withQueueLimit(20);
        engine = Engine.open(options, CpuKernels.open(1));
    }

    @AfterEach
    void close() {
        engine.close();
    }

    private Generation generate(TokenSink sink, String adapter, int choices, Sampling sampling, int... prompt) {
        return engine.generate(new GenerationRequest("r", "t", "tiny", adapter == null ? List.of() : List.of(new AdapterWeight(adapter)),
                new Prompt.Tokens(prompt), sampling, choices), sink);
    }

    private List<Integer> greedy(String adapter, int... prompt) {
        Collected sink = new Collected();
        generate(sink, adapter, 1, Sampling.builder().temperature(0).maxTokens(8).ignoreEos(true).build(), prompt);
        return sink.join();
    }

    private RuntimeFault fault(Collected sink) {
        try {
            sink.end.join();
            throw new AssertionError("expected a fault");
        } catch (CompletionException e) {
            return (RuntimeFault) e.getCause();
        }
    }

    @Test
    void saysWhatIsWrongWithARequest() {
        Sampling one = Sampling.greedy(1);
        Collected empty = new Collected();
        generate(empty, null, 1, one);
        assertThat(fault(empty).kind()).isEqualTo(Kind.INVALID);

        Collected outside = new Collected();
        generate(outside, null, 1, one, 320);
        assertThat(fault(outside)).hasMessageContaining("320").extracting(RuntimeFault::kind).isEqualTo(Kind.INVALID);

        Collected tooLong = new Collected();
        generate(tooLong, null, 1, Sampling.greedy(500), new int[13]);
        assertThat(fault(tooLong)).hasMessageContaining("512").hasMessageContaining("513").extracting(RuntimeFault::kind)
                .isEqualTo(Kind.CONTEXT_EXCEEDED);

        Collected unknown = new Collected();
        generate(unknown, "nobody", 1, one, 5);
        assertThat(fault(unknown).kind()).isEqualTo(Kind.UNKNOWN_ADAPTER);

        Collected text = new Collected();
        engine.generate(new GenerationRequest("r", "t", "tiny", List.of(), new Prompt.Text("hello", true), one, 1), text);
        assertThat(fault(text)).hasMessageContaining("no tokenizer");
    }

    @Test
    void fillsTheContextToItsEnd() {
        Collected sink = new Collected();
        generate(sink, null, 1, Sampling.builder().temperature(0).ignoreEos(true).build(), new int[CONTEXT - 3]);
        assertThat(sink.join()).hasSize(3);
        assertThat(sink.end.join()).isEqualTo(FinishReason.LENGTH);
    }

    @Test
    void refusesMoreThanTheQueueHoldsAndTakesNewOnesWhenItEmpties() {
        List<Collected> running = new ArrayList<>();
        List<Generation> generations = new ArrayList<>();
        for (int i = 0; i < 20; i++) {
            Collected sink = new Collected();
            running.add(sink);
            generations.add(generate(sink, null, 1, Sampling.builder().ignoreEos(true).build(), 3));
        }
        Collected refused = new Collected();
        generate(refused, null, 1, Sampling.greedy(1), 3);
        assertThat(fault(refused).kind()).isEqualTo(Kind.OVERLOADED);
        assertThat(fault(refused).retryAfter()).isPresent();
        generations.forEach(Generation::cancel);
        running.forEach(Collected::join);
        assertThat(greedy(null, 3)).hasSize(8);
    }

    @Test
    void aTenantLeavesRoomInTheQueueForOthers() throws IOException {
        EngineOptions options = EngineOptions.of("tiny", BASE).withSteps(2, 32).withPolicy(SchedulePolicy.DEFAULT.withTenantQueueLimit(3));
        try (Engine shared = Engine.open(options, CpuKernels.open(1))) {
            Sampling endless = Sampling.builder().ignoreEos(true).build();
            for (int i = 0; i < 3; i++) {
                shared.generate(new GenerationRequest("r", "flood", "tiny", List.of(), new Prompt.Tokens(new int[] {3}), endless, 1), new Collected());
            }
            Collected refused = new Collected();
            shared.generate(new GenerationRequest("r", "flood", "tiny", List.of(), new Prompt.Tokens(new int[] {3}), endless, 1), refused);
            assertThat(fault(refused)).hasMessageContaining("tenant flood").extracting(RuntimeFault::kind).isEqualTo(Kind.OVERLOADED);
            Collected modest = new Collected();
            shared.generate(new GenerationRequest("r", "modest", "tiny", List.of(), new Prompt.Tokens(new int[] {3}), Sampling.greedy(2), 1), modest);
            assertThat(modest.join()).hasSize(2);
        }
    }

    @Test
    void waitsInTheQueueNoLongerThanItMay() throws Exception {
        EngineOptions options = EngineOptions.of("tiny", BASE).withSteps(1, 32).withPolicy(SchedulePolicy.DEFAULT.withMaxWait(Duration.ofMillis(20)));
        try (Engine narrow = Engine.open(options, CpuKernels.open(1))) {
            List<String> expired = new CopyOnWriteArrayList<>();
            narrow.observe(new RuntimeObserver() {
                @Override
                public void expired(String tenant) {
                    expired.add(tenant);
                }
            });
            CountDownLatch begun = new CountDownLatch(1);
            AtomicInteger rest = new AtomicInteger();
            Collected late = new Collected();
            Sampling endless = Sampling.builder().temperature(0).ignoreEos(true).build();
            Generation first = narrow.generate(new GenerationRequest("r", "t", "tiny", List.of(), new Prompt.Tokens(new int[] {3}), endless, 1), new TokenSink() {
                @Override
                public void started(int promptTokens, int cachedTokens) {}

                @Override
                public void token(TokenEvent event) {
                    begun.countDown();
                    // Takes its time, so that it is not through before the other has waited too long.
                    LockSupport.parkNanos(late.end.isDone() ? 0 : 5_000_000);
                    rest.addAndGet(late.end.isDone() ? 1 : 0);
                }

                @Override
                public void finished(int choice, String text, FinishReason reason, int generatedTokens) {}

                @Override
                public void failed(RuntimeFault fault) {}
            });
            begun.await();
            narrow.generate(new GenerationRequest("r", "t", "tiny", List.of(), new Prompt.Tokens(new int[] {3}), endless, 1), late);
            assertThat(fault(late)).hasMessageContaining("0.02 s").extracting(RuntimeFault::kind).isEqualTo(Kind.QUEUE_TIMEOUT);
            assertThat(fault(late).retryAfter()).isPresent();
            assertThat(expired).containsExactly("t");
            for (int i = 0; i < 1000 && rest.get() == 0; i++) {
                Thread.sleep(5);
            }
            assertThat(rest).as("what has begun goes on").hasPositiveValue();
            first.cancel();
        }
    }

    @Test
    void cancelEndsTheOutputAndFreesTheBlocks() throws Exception {
        Collected sink = new Collected(5);
        Generation generation = generate(sink, null, 1, Sampling.builder().ignoreEos(true).build(), 3, 4, 5);
        sink.awaitTokens();
        generation.cancel();
        assertThat(sink.end.join()).isEqualTo(FinishReason.CANCELLED);
        for (int i = 0; i < 1000 && engine.stats().kvBlocksUsed() > 0; i++) {
            Thread.sleep(5);
        }
        assertThat(engine.stats().kvBlocksUsed()).isZero();
    }

    @Test
    void aSinkHearsThatItWaitsForTheBatchBeforeItStarts() {
        List<String> heard = new CopyOnWriteArrayList<>();
        Collected sink = new Collected() {
            @Override
            public void queued() {
                heard.add("queued");
            }

            @Override
            public void started(int promptTokens, int cachedTokens) {
                heard.add("started");
            }
        };
        generate(sink, null, 1, Sampling.greedy(2), 3);
        sink.join();
        assertThat(heard).containsExactly("queued", "started");
    }

    @Test
    void aSinkThatThrowsEndsItsOwnRequestAlone() {
        CompletableFuture<RuntimeFault> failed = new CompletableFuture<>();
        Collected neighbour = new Collected();
        generate(neighbour, null, 1, Sampling.builder().temperature(0).maxTokens(40).ignoreEos(true).build(), 9);
        generate(new TokenSink() {
            @Override
            public void started(int promptTokens, int cachedTokens) {}

            @Override
            public void token(TokenEvent event) {
                throw new IllegalStateException("broken sink");
            }

            @Override
            public void finished(int choice, String text, FinishReason reason, int generatedTokens) {}

            @Override
            public void failed(RuntimeFault fault) {
                failed.complete(fault);
            }
        }, null, 1, Sampling.greedy(5), 3);
        assertThat(failed.join().kind()).isEqualTo(Kind.INTERNAL);
        assertThat(neighbour.join()).hasSize(40);
    }

    @Test
    void aSinkThatThrowsAtTheStartEndsItsOwnRequestAlone() throws Exception {
        CompletableFuture<RuntimeFault> failed = new CompletableFuture<>();
        generate(new TokenSink() {
            @Override
            public void started(int promptTokens, int cachedTokens) {
                throw new IllegalStateException("broken sink");
            }

            @Override
            public void token(TokenEvent event) {}

            @Override
            public void finished(int choice, String text, FinishReason reason, int generatedTokens) {}

            @Override
            public void failed(RuntimeFault fault) {
                failed.complete(fault);
            }
        }, null, 2, Sampling.greedy(5), 3);
        assertThat(failed.join().kind()).isEqualTo(Kind.INTERNAL);
        assertThat(greedy(null, 3)).hasSize(8);
        for (int i = 0; i < 1000 && engine.stats().kvBlocksUsed() > 0; i++) {
            Thread.sleep(5);
        }
        assertThat(engine.stats().kvBlocksUsed()).isZero();
    }

    @Test
    void choicesAreSeededOneByOne() {
        Map<Integer, List<Integer>> byChoice = new TreeMap<>();
        CompletableFuture<Void> done = new CompletableFuture<>();
        int[] open = {3};
        generate(new TokenSink() {
            @Override
            public void started(int promptTokens, int cachedTokens) {
                assertThat(promptTokens).isEqualTo(2);
            }

            @Override
            public void token(TokenEvent event) {
                byChoice.computeIfAbsent(event.choice(), c -> new ArrayList<>()).add(event.token());
            }

            @Override
            public void finished(int choice, String text, FinishReason reason, int generatedTokens) {
                if (--open[0] == 0) {
                    done.complete(null);
                }
            }

            @Override
            public void failed(RuntimeFault fault) {
                done.completeExceptionally(fault);
            }
        }, null, 3, Sampling.builder().seed(40).maxTokens(12).ignoreEos(true).build(), 3, 4);
        done.join();
        for (int i = 0; i < 3; i++) {
            Collected alone = new Collected();
            generate(alone, null, 1, Sampling.builder().seed(40 + i).maxTokens(12).ignoreEos(true).build(), 3, 4);
            assertThat(alone.join()).isEqualTo(byChoice.get(i));
        }
        assertThat(byChoice.values()).doesNotHaveDuplicates();
    }

    @Test
    void anAdapterCanBeReplacedWhileItsRequestsRun() throws Exception {
        Path first = RandomAdapter.write(folder.resolve("first"), 1, 8, RandomAdapter.allModules());
        Path second = RandomAdapter.write(folder.resolve("second"), 2, 4, RandomAdapter.allModules());
        engine.adapters().load(AdapterRegistration.folder("a", "tiny", first)).join();
        Sampling sampling = Sampling.builder().temperature(0).maxTokens(200).ignoreEos(true).build();
        Collected reference = new Collected();
        generate(reference, "a", 1, sampling, 3, 4, 5);
        List<Integer> expected = reference.join();

        Collected during = new Collected(3);
        generate(during, "a", 1, sampling, 3, 4, 5);
        during.awaitTokens();
        assertThatThrownBy(() -> engine.adapters().load(AdapterRegistration.folder("a", "tiny", second)).join()).hasRootCauseInstanceOf(RuntimeFault.class);
        engine.adapters().load(AdapterRegistration.folder("a", "tiny", second).replacing(true)).join();
        assertThat(greedy("a", 3, 4, 5)).isNotEqualTo(expected.subList(0, 8));
        assertThat(during.join()).as("finished on the version it began with").isEqualTo(expected);

        engine.adapters().remove(AdapterId.shared("a"));
        assertThat(engine.adapters().size()).isZero();
        for (int i = 0; i < 1000 && engine.stats().adaptersLoaded() > 0; i++) {
            Thread.sleep(5);
        }
        assertThat(engine.stats().adapterBytes()).as("memory came back").isZero();
    }

    @Test
    void unusedAdaptersGiveWayWhenTheirBudgetIsSpent() throws Exception {
        EngineOptions small = EngineOptions.of("tiny", BASE).withAdapters(PoolOptions.of(50_000));
        try (Engine tight = Engine.open(small, CpuKernels.open(1))) {
            for (int i = 0; i < 6; i++) {
                Path path = RandomAdapter.write(folder.resolve("s" + i), i, 4, RandomAdapter.allModules());
                tight.adapters().load(AdapterRegistration.folder("s" + i, "tiny", path)).join();
            }
            assertThat(tight.stats().adapterBytes()).isLessThanOrEqualTo(50_000);
            assertThat(tight.adapters().list(AdapterQuery.all(10)).adapters()).hasSize(6).extracting(AdapterInfo::loaded).contains(true, false);
        }
    }

    @Test
    void drainsThenRefuses() throws Exception {
        Collected sink = new Collected(2);
        generate(sink, null, 1, Sampling.builder().temperature(0).maxTokens(100).ignoreEos(true).build(), 3);
        sink.awaitTokens();
        engine.drain(Duration.ofSeconds(30));
        assertThat(sink.end).isCompletedWithValue(FinishReason.LENGTH);
        Collected late = new Collected();
        generate(late, null, 1, Sampling.greedy(1), 3);
        assertThat(fault(late).kind()).isEqualTo(Kind.SHUTTING_DOWN);
    }

    @Test
    void closingFailsWhatIsLeft() {
        Collected sink = new Collected();
        generate(sink, null, 1, Sampling.builder().ignoreEos(true).build(), 3);
        engine.close();
        assertThat(fault(sink).kind()).isEqualTo(Kind.SHUTTING_DOWN);
    }

    /** Whatever the moment at which a request meets the end, it is answered. */
    @Test
    void everyRequestIsAnsweredWhileItCloses() throws Exception {
        for (int round = 0; round < 20; round++) {
            List<Collected> sinks = Collections.synchronizedList(new ArrayList<>());
            Thread asking = Thread.ofPlatform().start(() -> {
                for (int i = 0; i < 200; i++) {
                    Collected sink = new Collected();
                    sinks.add(sink);
                    generate(sink, null, 1, Sampling.builder().maxTokens(1).build(), 3);
                }
            });
            Thread.sleep(round % 5);
            engine.close();
            asking.join();
            for (Collected sink : sinks) {
                sink.end.handle((reason, fault) -> reason).get(20, TimeUnit.SECONDS);
            }
            open();
        }
    }
}
