package dev.polyphon.engine;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polyphon.engine.backend.cpu.CpuKernels;
import dev.polyphon.engine.pool.PoolOptions;
import dev.polyphon.engine.schedule.PrefixSharing;
import dev.polyphon.engine.schedule.SchedulePolicy;
import dev.polyphon.runtime.AdapterRegistration;
import dev.polyphon.runtime.AdapterWeight;
import dev.polyphon.runtime.Generation;
import dev.polyphon.runtime.GenerationRequest;
import dev.polyphon.runtime.Prompt;
import dev.polyphon.runtime.Sampling;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** A request's tokens are the same alone and among any neighbours, whatever the arrivals, cancels, chunks, shortage of blocks and cached prefixes. */
class BatchIndependenceTest {
    private static final Path BASE = Path.of("src/test/resources/golden/bases/llama");
    private static final int[] RANKS = {4, 8, 16, 32, 64};

    @TempDir
    static Path folder;

    private static final Map<String, Path> ADAPTERS = new LinkedHashMap<>();
    private static final Map<Request, List<Integer>> ALONE = new LinkedHashMap<>();

    /** Sampled requests are drawn with their seed, so that they must repeat as exactly as greedy ones. */
    private record Request(String adapter, List<Integer> prompt, int tokens, float temperature, long seed) {
        GenerationRequest wire() {
            Sampling sampling = Sampling.builder().temperature(temperature).topP(0.95f).seed(seed).maxTokens(tokens).ignoreEos(true).build();
            return new GenerationRequest("r", "t", "tiny", adapter == null ? List.of() : List.of(new AdapterWeight(adapter)),
                    new Prompt.Tokens(prompt.stream().mapToInt(Integer::intValue).toArray()), sampling, 1);
        }
    }

    @BeforeAll
    static void computeAlone() throws IOException {
        Random random = new Random(7);
        for (int i = 0; i < 16; i++) {
            List<String> modules = new ArrayList<>(RandomAdapter.allModules());
            modules.removeIf(m -> random.nextInt(3) == 0);
            if (modules.isEmpty()) {
                modules.add("self_attn.q_proj");
            }
            String name = "a" + i;
            ADAPTERS.put(name, RandomAdapter.write(folder.resolve(name), i, RANKS[i % RANKS.length], modules));
        }
        List<String> names = new ArrayList<>(ADAPTERS.keySet());
        names.add(null);
        try (Engine engine = open(1, 64, 16, 1 << 22)) {
            for (String name : names) {
                for (int i = 0; i < 2; i++) {
                    List<Integer> prompt = random.ints(1 + random.nextInt(50), 3, 320).boxed().toList();
                    Request request = new Request(name, prompt, 4 + random.nextInt(20), i == 0 ? 0 : 1.2f, random.nextLong());
                    Collected sink = new Collected();
                    engine.generate(request.wire(), sink);
                    ALONE.put(request, sink.join());
                }
            }
        }
        assertThat(ALONE.values().stream().distinct().count()).as("adapters differ").isGreaterThan(30);
    }

    private static Engine open(int maxSequences, int stepTokens, int blockSize, long kvBytes) throws IOException {
        return open(maxSequences, stepTokens, blockSize, kvBytes, PrefixSharing.OFF);
    }

    private static Engine open(int maxSequences, int stepTokens, int blockSize, long kvBytes, PrefixSharing sharing) throws IOException {
        return open(EngineOptions.of("tiny", BASE).withSteps(maxSequences, stepTokens).withKv(kvBytes, blockSize)
                .withPolicy(SchedulePolicy.DEFAULT.withPrefixCache(sharing)));
    }

    private static Engine open(EngineOptions options) throws IOException {
        Engine engine = Engine.open(options, CpuKernels.open(2));
        ADAPTERS.forEach((name, path) -> engine.adapters().register(AdapterRegistration.folder(name, "tiny", path)));
        return engine;
    }

    @Test
    void sixteenAdaptersAtOnce() throws IOException {
        try (Engine engine = open(64, 256, 16, 1 << 24)) {
            Map<Request, Collected> sinks = new LinkedHashMap<>();
            ALONE.keySet().forEach(request -> {
                Collected sink = new Collected();
                sinks.put(request, sink);
                engine.generate(request.wire(), sink);
            });
            sinks.forEach((request, sink) -> assertThat(sink.join()).as(request.toString()).isEqualTo(ALONE.get(request)));
        }
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4, 5, 6, 7, 8})
    void randomArrivalsCancelsChunksAndBlocks(long seed) throws Exception {
        Random random = new Random(seed);
        int maxSequences = 1 + random.nextInt(12);
        int stepTokens = maxSequences + random.nextInt(40);
        int blockSize = 1 + random.nextInt(20);
        // A position takes 2 layers x 2 x 32 floats; 80 positions hold the longest request, so that some runs are short of blocks.
        long kvBytes = 512L * (80 + blockSize + random.nextInt(400));
        List<Request> requests = new ArrayList<>(ALONE.keySet());
        PrefixSharing sharing = seed % 4 == 0 ? PrefixSharing.OFF : PrefixSharing.TENANT;
        // Of adapters and blocks beyond the least there is room for some, now for these, now for those.
        EngineOptions options = EngineOptions.of("tiny", BASE).withSteps(maxSequences, stepTokens).withKv(kvBytes, blockSize)
                .withAdapters(PoolOptions.of(500_000)).withSharedBytes(seed % 2 * random.nextInt(800_000))
                .withPolicy(SchedulePolicy.DEFAULT.withPrefixCache(sharing));
        try (Engine engine = open(options)) {
            Map<Request, Collected> kept = new LinkedHashMap<>();
            for (int i = 0; i < 60; i++) {
                Request request = requests.get(random.nextInt(requests.size()));
                Collected sink = new Collected();
                Generation generation = engine.generate(request.wire(), sink);
                if (random.nextInt(4) == 0) {
                    Thread.sleep(0, random.nextInt(900_000));
                    generation.cancel();
                    List<Integer> some = sink.join();
                    assertThat(ALONE.get(request).subList(0, some.size())).isEqualTo(some);
                } else if (kept.putIfAbsent(request, sink) != null) {
                    sink.join();
                }
                if (random.nextInt(3) == 0) {
                    Thread.sleep(random.nextInt(3));
                }
            }
            kept.forEach((request, sink) -> assertThat(sink.join()).as(request.toString()).isEqualTo(ALONE.get(request)));
            // The figures are published at the end of the step whose sinks we have heard.
            for (int i = 0; i < 1000 && engine.stats().kvBlocksUsed() > 0; i++) {
                Thread.sleep(5);
            }
            assertThat(engine.stats().kvBlocksUsed()).as("all blocks came back").isZero();
            assertThat(engine.stats().running() + engine.stats().waiting()).isZero();
        }
    }
}
