package dev.polyphon.engine;

import static org.assertj.core.api.Assertions.assertThat;

import com.sun.net.httpserver.HttpServer;
import dev.polyphon.engine.backend.cpu.CpuKernels;
import dev.polyphon.engine.pool.PoolOptions;
import dev.polyphon.engine.pool.source.SourceOptions;
import dev.polyphon.runtime.AdapterId;
import dev.polyphon.runtime.AdapterRegistration;
import dev.polyphon.runtime.AdapterSource;
import dev.polyphon.runtime.AdapterWeight;
import dev.polyphon.runtime.FinishReason;
import dev.polyphon.runtime.Generation;
import dev.polyphon.runtime.GenerationRequest;
import dev.polyphon.runtime.Prompt;
import dev.polyphon.runtime.RuntimeObserver;
import dev.polyphon.runtime.Sampling;
import dev.polyphon.runtime.Scheduling;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Requests of several tenants where there is room for fewer adapters than they ask for. */
class AdapterRoomTest {
    private static final Path BASE = Path.of("src/test/resources/golden/bases/llama");
    private static final List<String> MODULES = List.of("self_attn.q_proj", "self_attn.v_proj");
    private static final int REQUESTS = 60;
    private static final int MOST_REQUESTS = 2000;

    @TempDir
    Path folder;

    /** While it holds, steps take ten milliseconds, so that what is under way is still under way when others have been asked for. */
    private volatile boolean slow;

    private Engine open(int room, int sequences, Duration turnTime) throws IOException {
        long bytes;
        try (Engine measuring = Engine.open(EngineOptions.of("tiny", BASE), CpuKernels.open(1))) {
            register(measuring, "a0");
            measuring.adapters().load(AdapterId.shared("a0")).join();
            bytes = measuring.stats().adapterBytes();
        }
        Engine engine = Engine.open(EngineOptions.of("tiny", BASE).withSteps(sequences, 32).withKv(4 << 20, 16)
                .withAdapters(PoolOptions.of(room * bytes * 5 / 4).withTurnTime(turnTime)), CpuKernels.open(1));
        engine.observe(new RuntimeObserver() {
            @Override
            public void step(Step step) {
                if (slow) {
                    LockSupport.parkNanos(Duration.ofMillis(10).toNanos());
                }
            }
        });
        for (String name : List.of("a0", "a1", "a2", "quiet")) {
            register(engine, name);
        }
        return engine;
    }

    private void register(Engine engine, String name) throws IOException {
        Path written = RandomAdapter.write(folder.resolve(name), name.hashCode(), 4, MODULES);
        engine.adapters().register(AdapterRegistration.folder(name, "tiny", written));
    }

    private Generation ask(Engine engine, Collected sink, String tenant, String adapter, int tokens) {
        return engine.generate(new GenerationRequest("r", "tiny", List.of(new AdapterWeight(adapter)), new Prompt.Tokens(new int[] {5, 6, 7}),
                Sampling.builder().temperature(0).maxTokens(tokens).ignoreEos(true).build(), 1, Scheduling.of(tenant)), sink);
    }

    /** So many requests at any time, until a request of the quiet tenant has ended, and no more than {@link #MOST_REQUESTS}. */
    private final class Noise {
        private final Engine engine;
        private final int adapters;
        private final Collected quiet = new Collected();
        private final List<Collected> all = Collections.synchronizedList(new ArrayList<>());
        private final AtomicInteger asked = new AtomicInteger();

        Noise(Engine engine, int adapters) {
            this.engine = engine;
            this.adapters = adapters;
        }

        private void next() {
            int n = asked.getAndIncrement();
            if (n < MOST_REQUESTS && !quiet.end.isDone()) {
                Collected sink = new Collected();
                all.add(sink);
                // Asked for by a thread of its own: the engine's must not wait here.
                sink.end.whenCompleteAsync((reason, failure) -> next());
                ask(engine, sink, "noisy", "a" + n % adapters, 40);
            }
        }

        /** The quiet tenant's request in the middle of it has ended before the noise has. */
        void isInterrupted() throws InterruptedException {
            for (int i = 0; i < REQUESTS; i++) {
                next();
            }
            all.getFirst().started.await();
            ask(engine, quiet, "quiet", "quiet", 24);
            assertThat(quiet.join()).hasSize(24);
            assertThat(asked.get()).as("requests that were asked for before the quiet tenant's had ended").isLessThan(MOST_REQUESTS);
            while (engine.stats().running() + engine.stats().waiting() > 0) {
                Thread.sleep(1);
            }
        }
    }

    @Test
    void aTenantsQueueDoesNotKeepOthersAdaptersOut() throws Exception {
        try (Engine engine = open(2, 1, Duration.ofMinutes(1))) {
            Noise noise = new Noise(engine, 2);
            noise.isInterrupted();
            List<Integer> first = noise.all.getFirst().tokens;
            assertThat(noise.all.stream().filter(sink -> sink.tokens.equals(first)).count()).as("requests alike, whatever came between")
                    .isGreaterThanOrEqualTo(noise.all.size() / 2 - 1);
        }
    }

    /** One sequence at a time: there is always somebody who waits for the adapter; eight: always somebody who uses it. */
    @ParameterizedTest
    @CsvSource({"1, 1", "1, 8", "2, 8"})
    void adaptersThatAreAlwaysWantedGiveWayInTheEnd(int room, int sequences) throws Exception {
        try (Engine engine = open(room, sequences, Duration.ofMillis(1))) {
            new Noise(engine, room).isInterrupted();
        }
    }

    @Test
    void aRequestThatWaitsForItsAdapterAgainCanBeCancelled() throws Exception {
        try (Engine engine = open(1, 1, Duration.ofMinutes(1))) {
            slow = true;
            Collected running = new Collected(8);
            ask(engine, running, "t", "a0", 400);
            running.awaitTokens();
            List<Collected> waiting = new ArrayList<>();
            List<Generation> generations = new ArrayList<>();
            for (int i = 0; i < 6; i++) {
                Collected sink = new Collected();
                generations.add(ask(engine, sink, "t" + i, "a" + i % 3, 4));
                waiting.add(sink);
            }
            engine.adapters().unload(AdapterId.shared("a0"));
            generations.forEach(Generation::cancel);
            waiting.forEach(sink -> assertThat(sink.end.join()).isEqualTo(FinishReason.CANCELLED));
            slow = false;
            assertThat(running.end.join()).isEqualTo(FinishReason.LENGTH);
            Collected after = new Collected();
            ask(engine, after, "t", "a1", 4);
            assertThat(after.join()).hasSize(4);
            while (engine.stats().running() + engine.stats().waiting() > 0) {
                Thread.sleep(1);
            }
        }
    }

    @Test
    void requestsThatWaitAreServedByWhatTheirAdapterHasBecome() throws Exception {
        try (Engine engine = open(1, 1, Duration.ofMinutes(1))) {
            slow = true;
            Collected running = new Collected(8);
            ask(engine, running, "t", "a0", 200);
            running.awaitTokens();
            Collected waiting = new Collected();
            ask(engine, waiting, "t", "a0", 4);
            while (engine.stats().waiting() == 0 && !running.end.isDone()) {
                Thread.sleep(1);
            }
            engine.adapters().remove(AdapterId.shared("a0"));
            slow = false;
            assertThat(running.join()).as("a removed adapter's request in flight").hasSize(200);
            assertThat(waiting.join()).as("and one that waited").hasSize(4).isEqualTo(running.tokens.subList(0, 4));
        }
    }

    /** What is asked of an adapter that does not come costs those whose adapters are there no step; when it has come, its prompt is read beside their rows. */
    @Test
    void aColdAdapterHoldsUpNoStepOfAWarmOne() throws Exception {
        CountDownLatch asked = new CountDownLatch(1);
        CountDownLatch comes = new CountDownLatch(1);
        Path files = RandomAdapter.write(folder.resolve("cold"), 5, 4, MODULES);
        HttpServer hub = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        hub.setExecutor(Executors.newVirtualThreadPerTaskExecutor());
        hub.createContext("/org/cold/resolve/main/", exchange -> {
            try (exchange) {
                asked.countDown();
                comes.await();
                byte[] content = Files.readAllBytes(files.resolve(Path.of(exchange.getRequestURI().getPath()).getFileName()));
                exchange.sendResponseHeaders(200, content.length);
                exchange.getResponseBody().write(content);
            } catch (InterruptedException e) {
                throw new IOException(e);
            }
        });
        hub.start();
        SourceOptions sources = new SourceOptions(new SourceOptions.Hub(URI.create("http://127.0.0.1:" + hub.getAddress().getPort()), null), null,
                Duration.ofSeconds(60), Duration.ofSeconds(60), 1, 1 << 20);
        try (Engine engine = Engine.open(EngineOptions.of("tiny", BASE).withSteps(8, 32).withKv(4 << 20, 16).withAdapters(PoolOptions.of(1 << 20).withSources(sources)),
                CpuKernels.open(1))) {
            register(engine, "a0");
            engine.adapters().register(new AdapterRegistration(AdapterId.shared("cold"), "tiny", AdapterSource.parse("hf://org/cold"), Map.of(), null, false));
            List<RuntimeObserver.Step> steps = new CopyOnWriteArrayList<>();
            engine.observe(new RuntimeObserver() {
                @Override
                public void step(Step step) {
                    steps.add(step);
                    if (comes.getCount() == 0 && steps.stream().allMatch(one -> one.adapters() < 2)) {
                        // The warm one is not to be through before the other's files are read.
                        LockSupport.parkNanos(Duration.ofMillis(5).toNanos());
                    }
                }
            });
            Collected cold = new Collected();
            ask(engine, cold, "other", "cold", 4);
            asked.await();
            Collected before = new Collected();
            ask(engine, before, "t", "a0", 50);
            assertThat(before.join()).as("whole, while the other still waits").hasSize(50);
            assertThat(cold.started.getCount()).isOne();

            steps.clear();
            Collected warm = new Collected(8);
            ask(engine, warm, "t", "a0", 400);
            warm.awaitTokens();
            comes.countDown();
            assertThat(cold.join()).hasSize(4);
            assertThat(warm.join()).hasSize(400);
            assertThat(steps.stream().filter(step -> step.adapters() == 2).count()).as("both in one step").isGreaterThan(0);
            assertThat(steps.size()).as("a token of the warm one in every step").isLessThanOrEqualTo(400);
        } finally {
            comes.countDown();
            hub.stop(0);
        }
    }
}
