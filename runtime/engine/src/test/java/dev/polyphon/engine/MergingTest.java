package dev.polyphon.engine;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.polyphon.engine.backend.Kernels;
import dev.polyphon.engine.backend.Projection;
import dev.polyphon.engine.backend.Weight;
import dev.polyphon.engine.backend.cpu.CpuKernels;
import dev.polyphon.engine.merge.Precision;
import dev.polyphon.engine.schedule.merge.MergeOptions;
import dev.polyphon.engine.weights.TensorView;
import dev.polyphon.runtime.AdapterId;
import dev.polyphon.runtime.AdapterRegistration;
import dev.polyphon.runtime.AdapterTier;
import dev.polyphon.runtime.AdapterWeight;
import dev.polyphon.runtime.GenerationRequest;
import dev.polyphon.runtime.MergeInfo;
import dev.polyphon.runtime.MergeInfo.Cause;
import dev.polyphon.runtime.MergeInfo.State;
import dev.polyphon.runtime.MergeMode;
import dev.polyphon.runtime.Prompt;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.runtime.RuntimeFault.Kind;
import dev.polyphon.runtime.Sampling;
import java.io.IOException;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Adapters merged into copies of the weights, and unmerged, while they are served. */
class MergingTest {
    private static final Path GOLDEN = Path.of("src/test/resources/golden");
    private static final Path BASE = GOLDEN.resolve("bases/llama");

    @TempDir
    Path folder;

    private static Engine open(MergeOptions merging, Kernels kernels) throws IOException {
        return Engine.open(EngineOptions.of("tiny", BASE).withSteps(16, 48).withKv(8 << 20, 16), merging, kernels);
    }

    private Engine open() throws IOException {
        return open(MergeOptions.DEFAULT, CpuKernels.open(2));
    }

    private void register(Engine engine, String name, int seed, int rank) throws IOException {
        engine.adapters().register(AdapterRegistration.folder(name, "tiny", RandomAdapter.write(folder.resolve(name), seed, rank, RandomAdapter.allModules())));
    }

    /** A greedy request whose tokens come with their log probabilities, so that a difference of one bit shows. */
    private static Collected start(Engine engine, int tokens, List<AdapterWeight> adapters, int... prompt) {
        Collected sink = new Collected();
        engine.generate(new GenerationRequest("r", "t", "tiny", adapters, new Prompt.Tokens(prompt),
                Sampling.builder().temperature(0).logprobs(3).maxTokens(tokens).ignoreEos(true).build(), 1), sink);
        return sink;
    }

    private static List<AdapterWeight> adapter(String name) {
        return name == null ? List.of() : List.of(new AdapterWeight(name));
    }

    private static List<String> bits(Engine engine, String adapter, int... prompt) {
        Collected sink = start(engine, 12, adapter(adapter), prompt);
        sink.join();
        return sink.bits();
    }

    private static MergeInfo info(Engine engine, long id) {
        return engine.merges().status().merges().stream().filter(one -> one.id() == id).findFirst().orElseThrow();
    }

    private static MergeInfo merged(Engine engine, String name) {
        long id = engine.merges().merge("", adapter(name)).id();
        await(() -> info(engine, id).state() == State.MERGED || info(engine, id).state() == State.FAILED);
        assertThat(info(engine, id).reason()).isNull();
        return info(engine, id);
    }

    private static void unmerged(Engine engine, long id) {
        engine.merges().unmerge(id);
        await(() -> engine.merges().status().merges().stream().noneMatch(one -> one.id() == id));
    }

    private static void await(BooleanSupplier condition) {
        for (long end = System.nanoTime() + 20_000_000_000L; System.nanoTime() < end; ) {
            if (condition.getAsBoolean()) {
                return;
            }
            LockSupport.parkNanos(1_000_000);
        }
        throw new AssertionError("did not come about in time");
    }

    /** Rows computed with copies; a step counts its own after its tokens have been heard of, but before the next one. */
    private static long rows(Engine engine) {
        start(engine, 1, List.of(), 5).join();
        return engine.merges().status().rows();
    }

    private static AdapterTier tier(Engine engine, String name) {
        return engine.adapters().find("t", name).orElseThrow().tier();
    }

    /** What merging gives is held to the references' greedy tokens; which logits it gives, FoldTest holds. */
    @Test
    void mergedAdaptersGenerateTheReferencesTokens() throws IOException {
        Map<String, Map<String, JsonNode>> byBase = new TreeMap<>();
        try (Stream<Path> cases = Files.list(GOLDEN.resolve("cases"))) {
            for (Path one : cases.sorted().toList()) {
                JsonNode json = new ObjectMapper().readTree(Files.readAllBytes(one.resolve("case.json")));
                if (json.hasNonNull("adapter")) {
                    byBase.computeIfAbsent(json.path("base").asText(), _ -> new TreeMap<>()).put(one.getFileName().toString(), json);
                }
            }
        }
        int count = 0;
        for (Map.Entry<String, Map<String, JsonNode>> of : byBase.entrySet()) {
            EngineOptions options = EngineOptions.of("tiny", GOLDEN.resolve("bases").resolve(of.getKey())).withSteps(16, 64).withKv(8 << 20, 16);
            try (Engine engine = Engine.open(options, CpuKernels.open(2))) {
                for (Map.Entry<String, JsonNode> one : of.getValue().entrySet()) {
                    JsonNode json = one.getValue();
                    String name = one.getKey();
                    engine.adapters().register(AdapterRegistration.folder(name, "tiny", GOLDEN.resolve("adapters").resolve(json.path("adapter").asText())));
                    var wanted = List.of(new AdapterWeight(name, 1, json.path("task").textValue()));
                    MergeInfo merge;
                    try {
                        merge = engine.merges().merge("", wanted);
                    } catch (RuntimeFault e) {
                        assertThat(e).as(name).hasMessageContaining("changes no weights that could be merged");
                        continue;
                    }
                    long id = merge.id();
                    await(() -> info(engine, id).state() != State.QUEUED && info(engine, id).state() != State.MERGING);
                    assertThat(info(engine, id).state()).as("%s: %s", name, info(engine, id).reason()).isEqualTo(State.MERGED);
                    for (int i = 0; i < json.path("prompts").size(); i++) {
                        int[] expected = new ObjectMapper().convertValue(json.path("greedy").get(i), int[].class);
                        Collected sink = start(engine, expected.length, wanted, new ObjectMapper().convertValue(json.path("prompts").get(i), int[].class));
                        assertThat(sink.join().stream().mapToInt(Integer::intValue).toArray()).as("%s, prompt %d", name, i).isEqualTo(expected);
                    }
                    unmerged(engine, id);
                    count++;
                }
                assertThat(rows(engine)).isPositive();
            }
        }
        assertThat(count).isGreaterThan(80);
    }

    @Test
    void aHundredCyclesLeaveEveryBitAsItWas() throws IOException {
        try (Engine engine = open()) {
            register(engine, "a", 1, 8);
            register(engine, "b", 2, 16);
            List<String> base = bits(engine, null, 5, 6, 7);
            List<String> a = bits(engine, "a", 5, 6, 7);
            List<String> b = bits(engine, "b", 5, 6, 7);
            List<String> mergedA = null;
            for (int i = 0; i < 100; i++) {
                MergeInfo merge = merged(engine, "a");
                if (i % 10 == 0) {
                    assertThat(tier(engine, "a")).isEqualTo(AdapterTier.MERGED);
                    List<String> now = bits(engine, "a", 5, 6, 7);
                    assertThat(now).as("merging is repeatable").isEqualTo(mergedA == null ? now : mergedA);
                    mergedA = now;
                    assertThat(bits(engine, null, 5, 6, 7)).isEqualTo(base);
                    assertThat(bits(engine, "b", 5, 6, 7)).isEqualTo(b);
                }
                unmerged(engine, merge.id());
            }
            assertThat(mergedA).as("the merged form was computed").isNotEqualTo(a);
            assertThat(bits(engine, "a", 5, 6, 7)).isEqualTo(a);
            assertThat(bits(engine, "b", 5, 6, 7)).isEqualTo(b);
            assertThat(bits(engine, null, 5, 6, 7)).isEqualTo(base);
            assertThat(tier(engine, "a")).isEqualTo(AdapterTier.LOADED);
            assertThat(engine.merges().status().bytes()).isZero();
            assertThat(engine.merges().status().merged()).isEqualTo(100);
            assertThat(engine.merges().status().unmerged()).isEqualTo(100);
        }
    }

    /**
     * Whatever is merged and unmerged while requests come and go, each has, bit for bit, the outputs that it has alone in one of its forms: it never changes
     * over, and what is not merged is computed as if nothing were.
     */
    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4, 5, 6})
    void anyInterleavingGivesEachRequestOneFormOnly(long seed) throws IOException {
        Random random = new Random(seed);
        List<String> names = new ArrayList<>(List.of("a", "b", "c", "d"));
        try (Engine engine = open()) {
            for (int i = 0; i < names.size(); i++) {
                register(engine, names.get(i), i, 4 << i);
            }
            names.add(null);
            int[][] prompts = new int[6][];
            for (int i = 0; i < prompts.length; i++) {
                prompts[i] = random.ints(1 + random.nextInt(30), 3, 320).toArray();
            }
            Map<String, Set<List<String>>> alone = new HashMap<>();
            for (int merge = 0; merge < 2; merge++) {
                for (String name : names) {
                    MergeInfo info = merge == 1 && name != null && !name.equals("d") ? merged(engine, name) : null;
                    for (int i = 0; i < prompts.length; i++) {
                        alone.computeIfAbsent(name + i, _ -> new java.util.HashSet<>()).add(bits(engine, name, prompts[i]));
                    }
                    if (info != null) {
                        unmerged(engine, info.id());
                    }
                }
            }
            assertThat(alone.get("null0")).hasSize(1);
            assertThat(alone.get("d0")).hasSize(1);
            assertThat(alone.get("a0")).hasSize(2);
            Map<Collected, String> running = new IdentityHashMap<>();
            for (int i = 0; i < 150; i++) {
                switch (random.nextInt(4)) {
                    case 0 -> {
                        String name = names.get(random.nextInt(3));
                        var at = engine.merges().status().merges().stream().filter(m -> m.adapters().getFirst().name().equals(name)).toList();
                        if (at.isEmpty() || random.nextInt(3) == 0) {
                            engine.merges().merge("", adapter(name));
                        } else {
                            engine.merges().unmerge(at.getFirst().id());
                        }
                    }
                    case 1 -> LockSupport.parkNanos(random.nextInt(2_000_000));
                    default -> {
                        String name = names.get(random.nextInt(names.size()));
                        int prompt = random.nextInt(prompts.length);
                        running.put(start(engine, 12, adapter(name), prompts[prompt]), name + prompt);
                    }
                }
            }
            running.forEach((sink, request) -> {
                sink.join();
                assertThat(alone.get(request)).as(request).contains(sink.bits());
            });
            for (MergeInfo merge : engine.merges().status().merges()) {
                await(() -> engine.merges().unmerge(merge.id()).isEmpty());
            }
            // A copy that was being made, or that its last request still has, is given back a moment later.
            await(() -> engine.merges().status().bytes() == 0);
        }
    }

    @Test
    void aRequestKeepsItsCopyUntilItEnds() throws Exception {
        try (Engine engine = open()) {
            register(engine, "a", 1, 8);
            MergeInfo merge = merged(engine, "a");
            List<String> expected = bits(engine, "a", 9, 8, 7);
            Collected sink = new Collected(3);
            engine.generate(new GenerationRequest("r", "t", "tiny", adapter("a"), new Prompt.Tokens(new int[] {9, 8, 7}),
                    Sampling.builder().temperature(0).logprobs(3).maxTokens(400).ignoreEos(true).build(), 1), sink);
            sink.awaitTokens();
            engine.merges().unmerge(merge.id());
            assertThat(info(engine, merge.id()).state()).isEqualTo(State.UNMERGING);
            assertThat(info(engine, merge.id()).requests()).isEqualTo(1);
            assertThat(engine.merges().status().bytes()).isPositive();
            sink.join();
            assertThat(sink.bits().subList(0, expected.size())).isEqualTo(expected);
            await(() -> engine.merges().status().merges().isEmpty());
            assertThat(engine.merges().status().bytes()).isZero();
        }
    }

    @Test
    void mixesAreMergedByTheirWeights() throws IOException {
        try (Engine engine = open()) {
            register(engine, "a", 1, 8);
            register(engine, "b", 2, 16);
            List<AdapterWeight> mix = List.of(new AdapterWeight("a", 0.7f, null), new AdapterWeight("b", 0.3f, null));
            List<Integer> before = start(engine, 12, mix, 5, 6).join();
            long id = engine.merges().merge("", mix).id();
            await(() -> info(engine, id).state() == State.MERGED);
            long rows = rows(engine);
            assertThat(start(engine, 12, mix, 5, 6).join()).isEqualTo(before);
            assertThat(rows(engine)).isGreaterThan(rows);
            List<AdapterWeight> other = List.of(new AdapterWeight("a", 0.6f, null), new AdapterWeight("b", 0.4f, null));
            rows = rows(engine);
            start(engine, 4, other, 5, 6).join();
            start(engine, 4, adapter("a"), 5, 6).join();
            assertThat(rows(engine)).as("other weights are another adapter").isEqualTo(rows);
        }
    }

    @Test
    void saysWhyNot() throws IOException {
        try (Engine engine = open(new MergeOptions(MergeMode.NEVER, 400_000, Precision.KEEP, 0.5, 0.5, 0.03, Duration.ofSeconds(30)), CpuKernels.open(1))) {
            register(engine, "a", 1, 8);
            register(engine, "b", 2, 8);
            engine.adapters().register(AdapterRegistration.folder("prompt", "tiny", GOLDEN.resolve("adapters/prompt-tuning-llama")));
            assertThatThrownBy(() -> engine.merges().merge("", adapter("nobody"))).isInstanceOfSatisfying(RuntimeFault.class,
                    fault -> assertThat(fault.kind()).isEqualTo(Kind.UNKNOWN_ADAPTER));
            assertThatThrownBy(() -> engine.merges().merge("", adapter("prompt"))).hasMessageContaining("embeddings before the prompt");
            assertThat(engine.merges().unmerge(77)).isEmpty();
            MergeInfo first = merged(engine, "a");
            assertThat(first.bytes()).isBetween(300_000L, 400_000L);
            assertThat(engine.merges().merge("", adapter("a")).id()).as("asking again changes nothing").isEqualTo(first.id());
            assertThatThrownBy(() -> engine.merges().merge("", adapter("b"))).isInstanceOfSatisfying(RuntimeFault.class, fault -> {
                assertThat(fault.kind()).isEqualTo(Kind.NO_SPACE);
                assertThat(fault).hasMessageContaining("of the 400000 for copies");
            });
            unmerged(engine, first.id());
            merged(engine, "b");
        }
    }

    @Test
    void aPinnedAdapterIsMergedWhenItComesAndWithEveryVersion() throws IOException {
        var options = new MergeOptions(MergeMode.parse("pinned:a"), 1 << 20, Precision.KEEP, 0.5, 0.5, 0.03, Duration.ofSeconds(30));
        try (Engine engine = open(options, CpuKernels.open(2))) {
            await(() -> engine.merges().status().merges().stream().anyMatch(m -> m.state() == State.FAILED && m.reason().contains("not registered")));
            register(engine, "a", 1, 8);
            await(() -> engine.merges().status().merges().stream().anyMatch(m -> m.state() == State.MERGED && m.cause() == Cause.PINNED));
            long id = engine.merges().status().merges().getFirst().id();
            assertThatThrownBy(() -> engine.merges().unmerge(id)).hasMessageContaining("pinned:a");
            List<String> old = bits(engine, "a", 4, 5, 6);
            RandomAdapter.write(folder.resolve("a"), 99, 8, RandomAdapter.allModules());
            // The first request after the change makes the pool look; the version after it is merged in turn.
            await(() -> !bits(engine, "a", 4, 5, 6).equals(old));
            await(() -> engine.merges().status().unmerged() == 1 && info(engine, id).state() == State.MERGED);
            long rows = rows(engine);
            assertThat(bits(engine, "a", 4, 5, 6)).isNotEqualTo(old);
            assertThat(rows(engine)).isGreaterThan(rows);
            engine.merges().mode(MergeMode.NEVER);
            await(() -> engine.merges().status().merges().isEmpty());
        }
    }

    @Test
    void whatFailsHalfWayLeavesEverythingInService() throws IOException {
        AtomicInteger left = new AtomicInteger(5);
        Set<Weight> copies = Collections.newSetFromMap(new IdentityHashMap<>());
        Kernels failing = kernels((method, arguments, result) -> {
            if (method.equals("weight") && arguments[0] instanceof TensorView view && view.name().equals("merged")) {
                if (left.getAndDecrement() == 0) {
                    ((Weight) result).close();
                    throw new IllegalStateException("the device is out of order");
                }
                copies.add((Weight) result);
            }
        });
        try (Engine engine = open(MergeOptions.DEFAULT, failing)) {
            register(engine, "a", 1, 8);
            List<String> before = bits(engine, "a", 5, 6);
            long id = engine.merges().merge("", adapter("a")).id();
            await(() -> info(engine, id).state() == State.FAILED);
            assertThat(info(engine, id).reason()).contains("out of order");
            assertThat(engine.merges().status().failed()).isEqualTo(1);
            assertThat(engine.merges().status().bytes()).isZero();
            assertThat(copies).hasSize(5).allSatisfy(weight -> assertThatThrownBy(() -> engineRead(failing, weight)).isInstanceOf(RuntimeException.class));
            assertThat(bits(engine, "a", 5, 6)).isEqualTo(before);
            assertThat(tier(engine, "a")).isEqualTo(AdapterTier.LOADED);
            merged(engine, "a");
            assertThat(engine.merges().status().merges()).hasSize(1);
        }
    }

    private static void engineRead(Kernels kernels, Weight weight) {
        kernels.read(weight, 0, 1, new float[weight.in()]);
    }

    @Test
    void aMergeUnderWayCanBeGivenUpAndTheEngineClosed() throws Exception {
        CountDownLatch reached = new CountDownLatch(2);
        Kernels slow = kernels((method, arguments, _) -> {
            if (method.equals("weight") && arguments[0] instanceof TensorView view && view.name().equals("merged")) {
                reached.countDown();
                LockSupport.parkNanos(20_000_000);
            }
        });
        try (Engine engine = open(MergeOptions.DEFAULT, slow)) {
            register(engine, "a", 1, 8);
            List<String> before = bits(engine, "a", 5, 6);
            MergeInfo merge = engine.merges().merge("", adapter("a"));
            reached.await();
            assertThat(info(engine, merge.id()).state()).isEqualTo(State.MERGING);
            assertThat(info(engine, merge.id()).progress()).isGreaterThan(0).isLessThan(1);
            unmerged(engine, merge.id());
            assertThat(engine.merges().status().merged()).isZero();
            assertThat(bits(engine, "a", 5, 6)).isEqualTo(before);
            engine.merges().merge("", adapter("a"));
        }
    }

    /** Where the adapter's own computation is slow, it is merged; where the copy is slow, it is not; when demand ends, it is unmerged. */
    @Test
    void autoMergesWhatMeasurementsSay() throws Exception {
        var options = new MergeOptions(MergeMode.AUTO, 1 << 20, Precision.KEEP, 1, 0.5, 0.03, Duration.ofMillis(300));
        AtomicInteger deltaNanos = new AtomicInteger();
        AtomicInteger copyNanos = new AtomicInteger(2_000_000);
        Set<Weight> copies = Collections.synchronizedSet(Collections.newSetFromMap(new IdentityHashMap<>()));
        Kernels kernels = kernels((method, arguments, result) -> {
            if (method.equals("weight") && arguments[0] instanceof TensorView view && view.name().equals("merged")) {
                copies.add((Weight) result);
            } else if (method.equals("linear") && arguments.length == 5 && !((List<?>) arguments[4]).isEmpty()) {
                LockSupport.parkNanos(deltaNanos.get());
            } else if (method.equals("linear") && ((List<?>) arguments[3]).stream().anyMatch(p -> copies.contains(((Projection) p).weight()))) {
                LockSupport.parkNanos(copyNanos.get());
            }
        });
        try (Engine engine = open(options, kernels)) {
            register(engine, "a", 1, 8);
            await(() -> {
                start(engine, 20, adapter("a"), 5, 6).join();
                return engine.merges().status().rejected() > 0;
            });
            assertThat(engine.merges().status().merges()).isEmpty();
            deltaNanos.set(2_000_000);
            copyNanos.set(0);
            await(() -> {
                start(engine, 20, adapter("a"), 5, 6).join();
                return engine.merges().status().merges().stream().anyMatch(m -> m.state() == State.MERGED);
            });
            MergeInfo merge = engine.merges().status().merges().getFirst();
            assertThat(merge.cause()).isEqualTo(Cause.AUTO);
            assertThat(merge.saving()).isGreaterThan(0.1);
            // It stays as long as it is wanted, through any number of windows.
            for (long end = System.nanoTime() + 1_500_000_000; System.nanoTime() < end; ) {
                start(engine, 20, adapter("a"), 5, 6).join();
            }
            assertThat(engine.merges().status().merged()).isEqualTo(1);
            await(() -> {
                start(engine, 20, List.of(), 5, 6).join();
                return engine.merges().status().merges().isEmpty();
            });
        }
    }

    private interface Aside {
        void happened(String method, Object[] arguments, Object result);
    }

    /** The processor's kernels, with something done after each call. */
    private static Kernels kernels(Aside aside) {
        Kernels kernels = CpuKernels.open(2);
        return (Kernels) Proxy.newProxyInstance(Kernels.class.getClassLoader(), new Class<?>[] {Kernels.class}, (proxy, method, arguments) -> {
            Object result;
            try {
                // Default methods that only call others go through here, too.
                result = method.isDefault() && method.getName().equals("weight") ? kernels.weight((TensorView) arguments[0], null) : method.invoke(kernels, arguments);
            } catch (InvocationTargetException e) {
                throw e.getCause();
            }
            aside.happened(method.getName(), arguments, result);
            return result;
        });
    }

    @Test
    void aTenantsOwnAdapterIsMergedAsItsOwn() throws IOException {
        try (Engine engine = open()) {
            register(engine, "a", 1, 8);
            var own = new AdapterId("t", "a");
            engine.adapters().register(new AdapterRegistration(own, "tiny",
                    new dev.polyphon.runtime.AdapterSource.Folder(RandomAdapter.write(folder.resolve("own"), 7, 8, RandomAdapter.allModules())), Map.of(), null, false));
            merged(engine, "a");
            long rows = rows(engine);
            bits(engine, "a", 5, 6);
            assertThat(rows(engine)).as("the tenant's own adapter is another one").isEqualTo(rows);
            long id = engine.merges().merge("t", adapter("a")).id();
            await(() -> info(engine, id).state() == State.MERGED);
            assertThat(info(engine, id).owner()).isEqualTo("t");
            bits(engine, "a", 5, 6);
            assertThat(rows(engine)).isGreaterThan(rows);
        }
    }
}
