package dev.polyphon.engine;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polyphon.engine.backend.Batch;
import dev.polyphon.engine.backend.LowRank;
import dev.polyphon.engine.backend.cpu.CpuKernels;
import dev.polyphon.runtime.AdapterRegistration;
import dev.polyphon.runtime.AdapterWeight;
import dev.polyphon.runtime.FinishReason;
import dev.polyphon.runtime.GenerationRequest;
import dev.polyphon.runtime.Prompt;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.runtime.RuntimeFault.Kind;
import dev.polyphon.runtime.RuntimeObserver;
import dev.polyphon.runtime.Sampling;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Faults injected into the kernels of a running engine: who is at fault fails with an internal error, once; all others get the tokens that they get alone. */
class FailingStepTest {
    private static final Path BASE = Path.of("src/test/resources/golden/bases/llama");
    /** A batch that has it at a prompt's second place cannot be computed. */
    private static final int POISON = 319;
    private static final Sampling SAMPLING = Sampling.builder().temperature(0.9f).seed(7).maxTokens(24).ignoreEos(true).build();

    @TempDir
    static Path folder;

    /** What may not be used. */
    private final Set<Object> broken = Collections.synchronizedSet(Collections.newSetFromMap(new IdentityHashMap<>()));
    private final AtomicInteger failingSteps = new AtomicInteger();
    private final AtomicInteger failedSequences = new AtomicInteger();
    /** How many of the next steps fail, whatever is in them. */
    private final AtomicInteger outage = new AtomicInteger();
    /** How many sequences a step must have for an outage to strike it. */
    private volatile int outageFrom = 1;
    /** What the first step of a test waits for. */
    private volatile CountDownLatch asked = new CountDownLatch(0);
    private volatile boolean breaking;
    private volatile Error thrown;
    private Batch batch;
    private Engine engine;

    @BeforeEach
    void open() throws IOException {
        engine = Engine.open(EngineOptions.of("tiny", BASE).withSteps(16, 64).withKv(4 << 20, 16), FaultyKernels.of(CpuKernels.open(2), this::before, this::made));
        engine.observe(new RuntimeObserver() {
            @Override
            public void stepFailed() {
                failingSteps.incrementAndGet();
            }

            @Override
            public void sequenceFailed(String tenant) {
                failedSequences.incrementAndGet();
            }
        });
        for (String adapter : List.of("a", "b", "bad")) {
            breaking = adapter.equals("bad");
            Path path = RandomAdapter.write(folder.resolve(adapter), adapter.hashCode(), 4, RandomAdapter.allModules());
            engine.adapters().load(AdapterRegistration.folder(adapter, "tiny", path)).join();
        }
        breaking = false;
        assertThat(broken).isNotEmpty();
    }

    @AfterEach
    void close() {
        engine.close();
    }

    private void made(Object result) {
        if (breaking && result != null) {
            broken.add(result);
        }
    }

    private void before(String operation, Object[] arguments) {
        switch (operation) {
            case "begin" -> {
                batch = (Batch) arguments[0];
                awaitUninterruptibly(asked);
            }
            case "attention" -> {
                boolean poisoned = IntStream.range(0, batch.rows()).anyMatch(r -> batch.positions()[r] == 1 && batch.tokens()[r] == POISON);
                if (poisoned && thrown != null) {
                    throw thrown;
                }
                boolean struck = batch.sequences() >= outageFrom && outage.getAndUpdate(n -> Math.max(0, n - 1)) > 0;
                if (struck || poisoned) {
                    throw new IllegalStateException("an injected fault");
                }
            }
            case "linear", "lowRank" -> {
                for (Object argument : arguments) {
                    if (argument instanceof List<?> list && list.stream().anyMatch(item -> item instanceof LowRank delta && broken.contains(delta.a()))) {
                        throw new IllegalStateException("an adapter's kernel failed");
                    }
                }
            }
            default -> {}
        }
    }

    private static void awaitUninterruptibly(CountDownLatch latch) {
        try {
            latch.await();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private Collected generate(String adapter, int... prompt) {
        Collected sink = new Collected(3);
        engine.generate(new GenerationRequest("r", "t", "tiny", adapter == null ? List.of() : List.of(new AdapterWeight(adapter)),
                new Prompt.Tokens(prompt), SAMPLING, 1), sink);
        return sink;
    }

    /** Prompt and adapter of a request that nothing is wrong with. */
    private Collected healthy(int i) {
        return generate(i % 3 == 0 ? null : i % 3 == 1 ? "a" : "b", 3 + i, 40, 41, 42);
    }

    private List<List<Integer>> alone(int requests) {
        List<List<Integer>> expected = new ArrayList<>();
        for (int i = 0; i < requests; i++) {
            expected.add(healthy(i).join());
        }
        return expected;
    }

    private static void assertFailed(Collected sink) {
        try {
            sink.end.join();
            throw new AssertionError("expected a fault");
        } catch (CompletionException e) {
            assertThat(((RuntimeFault) e.getCause()).kind()).isEqualTo(Kind.INTERNAL);
        }
    }

    private void assertAllCameBack() throws InterruptedException {
        for (int i = 0; i < 1000 && (engine.stats().kvBlocksUsed() > 0 || engine.stats().running() > 0); i++) {
            Thread.sleep(5);
        }
        assertThat(engine.stats().kvBlocksUsed()).isZero();
        assertThat(engine.stats().running() + engine.stats().waiting()).isZero();
    }

    private void assertOnlyTheseFail(List<List<Integer>> expected, List<Collected> healthy, List<Collected> guilty) throws InterruptedException {
        for (int i = 0; i < healthy.size(); i++) {
            assertThat(healthy.get(i).join()).as("tokens of neighbour " + i).isEqualTo(expected.get(i));
            assertThat(healthy.get(i).end.join()).isEqualTo(FinishReason.LENGTH);
        }
        guilty.forEach(FailingStepTest::assertFailed);
        assertAllCameBack();
        assertThat(healthy).allSatisfy(sink -> assertThat(sink.ends).hasValue(1));
        assertThat(guilty).allSatisfy(sink -> assertThat(sink.ends).hasValue(1));
        assertThat(failedSequences).hasValue(guilty.size());
        assertThat(failingSteps.get()).isPositive();
    }

    @Test
    void theSequenceAtFaultFailsAlone() throws Exception {
        List<List<Integer>> expected = alone(12);
        List<Collected> healthy = new ArrayList<>();
        List<Collected> guilty = new ArrayList<>();
        for (int i = 0; i < 12; i++) {
            healthy.add(healthy(i));
            if (i % 4 == 3) {
                healthy.getFirst().awaitTokens();
                guilty.add(generate(i % 8 == 3 ? "a" : null, 3 + i, POISON, 41, 42));
            }
        }
        assertOnlyTheseFail(expected, healthy, guilty);
    }

    @Test
    void anAdapterThatFailsDoesNotHurtItsNeighbours() throws Exception {
        List<List<Integer>> expected = alone(12);
        List<Collected> healthy = new ArrayList<>();
        List<Collected> guilty = new ArrayList<>();
        for (int i = 0; i < 12; i++) {
            healthy.add(healthy(i));
            guilty.add(generate("bad", 3 + i, 40, 41, 42));
        }
        assertOnlyTheseFail(expected, healthy, guilty);
    }

    @Test
    void anErrorOfTheMachineIsTakenTheSameWay() throws Exception {
        List<List<Integer>> expected = alone(6);
        thrown = new InternalError("a fault occurred in an unsafe memory access operation");
        List<Collected> healthy = new ArrayList<>();
        for (int i = 0; i < 6; i++) {
            healthy.add(healthy(i));
        }
        assertOnlyTheseFail(expected, healthy, List.of(generate("a", 5, POISON)));
    }

    @Test
    void afterAFaultThatPassesAllGoOn() throws Exception {
        List<List<Integer>> expected = alone(12);
        // No step is made before all have been asked for, so that none can have ended before the fault. The first step may have been planned with one
        // sequence by then; struck, that one would be at fault.
        asked = new CountDownLatch(1);
        outageFrom = 2;
        outage.set(1);
        List<Collected> healthy = new ArrayList<>();
        for (int i = 0; i < 12; i++) {
            healthy.add(healthy(i));
        }
        asked.countDown();
        assertOnlyTheseFail(expected, healthy, List.of());
    }

    @Test
    void aDeviceThatComesBackServesAgain() throws Exception {
        List<List<Integer>> expected = alone(3);
        outage.set(Integer.MAX_VALUE);
        List<Collected> guilty = new ArrayList<>();
        for (int i = 0; i < 12; i++) {
            guilty.add(healthy(i));
        }
        guilty.forEach(FailingStepTest::assertFailed);
        assertAllCameBack();
        outage.set(0);
        assertThat(alone(3)).isEqualTo(expected);
        assertThat(guilty).allSatisfy(sink -> assertThat(sink.ends).hasValue(1));
    }
}
