package dev.polyphon.engine;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.polyphon.engine.backend.cpu.CpuKernels;
import dev.polyphon.engine.replica.Replicas;
import dev.polyphon.runtime.AdapterId;
import dev.polyphon.runtime.AdapterRegistration;
import dev.polyphon.runtime.AdapterSource;
import dev.polyphon.runtime.AdapterUpload;
import dev.polyphon.runtime.AdapterWeight;
import dev.polyphon.runtime.GenerationRequest;
import dev.polyphon.runtime.MergeInfo;
import dev.polyphon.runtime.Prompt;
import dev.polyphon.runtime.Runtime;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.runtime.Sampling;
import dev.polyphon.runtime.SchedulerState;
import dev.polyphon.runtime.SchedulerState.Counter;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletionException;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Engines on devices of their own, behind one runtime; each device is the processor. */
class ReplicasTest {
    private static final Path GOLDEN = Path.of("src/test/resources/golden");
    private static final int COUNT = 3;

    private final List<Engine> engines = new ArrayList<>();
    private Runtime replicas;

    @BeforeEach
    void open() throws IOException {
        replicas = Replicas.open(COUNT, i -> {
            Engine engine = Engine.open(EngineOptions.of("tiny", GOLDEN.resolve("bases/llama")).withSteps(8, 32).withKv(4 << 20, 16), CpuKernels.open(1));
            engines.add(engine);
            return engine;
        });
    }

    @AfterEach
    void close() {
        replicas.close();
    }

    private Collected start(Runtime runtime, String tenant, String adapter) {
        Collected sink = new Collected();
        runtime.generate(new GenerationRequest("r", tenant, "tiny", adapter == null ? List.of() : List.of(new AdapterWeight(adapter)),
                new Prompt.Tokens(new int[] {5, 9, 77, 3}), Sampling.builder().temperature(0).maxTokens(8).ignoreEos(true).build(), 1), sink);
        return sink;
    }

    private AdapterRegistration folder(String name) {
        return AdapterRegistration.folder(name, "tiny", GOLDEN.resolve("adapters/lora-llama"));
    }

    private List<Integer> expected(String tenant, String adapter) {
        return start(engines.getFirst(), tenant, adapter).join();
    }

    @Test
    void everyReplicaGivesTheSameTokens() {
        replicas.adapters().register(folder("a"));
        List<Integer> base = expected("t", null);
        List<Integer> adapted = expected("t", "a");
        assertThat(adapted).isNotEqualTo(base);
        List<Collected> many = new ArrayList<>();
        for (int i = 0; i < 24; i++) {
            many.add(start(replicas, "t" + i, i % 2 == 0 ? null : "a"));
        }
        for (int i = 0; i < many.size(); i++) {
            assertThat(many.get(i).join()).isEqualTo(i % 2 == 0 ? base : adapted);
        }
        assertThat(engines).allSatisfy(engine -> assertThat(engine.stats().prefix().queried()).as("each had some").isPositive());
        assertThat(replicas.stats().prefix().queried()).isEqualTo(engines.stream().mapToLong(e -> e.stats().prefix().queried()).sum());
    }

    @Test
    void theirSchedulersAreToldOfAsOne() {
        engines.forEach(engine -> start(engine, "t", null).join());
        start(engines.getFirst(), "other", null).join();
        List<SchedulerState> all = engines.stream().map(engine -> engine.scheduler().join()).toList();
        SchedulerState sum = replicas.scheduler().join();
        assertThat(all).allSatisfy(one -> assertThat(one.counters()).extracting(Counter::tenant).contains("t"));
        assertThat(sum.counters()).extracting(Counter::tenant).containsExactlyInAnyOrder("t", "other");
        double served = all.stream().flatMap(one -> one.counters().stream()).filter(one -> one.tenant().equals("t")).mapToDouble(Counter::served).sum();
        assertThat(sum.counters().stream().filter(one -> one.tenant().equals("t")).findFirst().orElseThrow().served()).isEqualTo(served).isGreaterThanOrEqualTo(COUNT * 12);
        assertThat(sum.kvBlocks()).isEqualTo(all.stream().mapToInt(SchedulerState::kvBlocks).sum());
        assertThat(sum.kvBlocksCached()).isEqualTo(all.stream().mapToInt(SchedulerState::kvBlocksCached).sum());
        engines.getFirst().close();
        assertThat(engines.getFirst().scheduler().join().running()).as("one that has ended tells, too").isZero();
    }

    /** One after the other, requests for an adapter go to one replica, which alone has it in memory. */
    @Test
    void anAdapterIsAtHomeAtOneReplica() {
        for (int i = 0; i < 4; i++) {
            replicas.adapters().register(folder("a" + i));
            for (int j = 0; j < 3; j++) {
                start(replicas, "t" + j, "a" + i).join();
            }
        }
        assertThat(replicas.stats().adaptersLoaded()).isEqualTo(4);
        assertThat(engines.stream().filter(e -> e.stats().adaptersLoaded() > 0).count()).isGreaterThan(1);
    }

    /** What one replica missed, or was left with, is not served there; what none knows is refused as by one runtime. */
    @Test
    void aReplicaThatCouldNotFollowIsLeftOut() {
        replicas.adapters().register(folder("a"));
        engines.subList(1, COUNT).forEach(engine -> engine.adapters().remove(AdapterId.shared("a")));
        List<Integer> adapted = expected("t", "a");
        List<Collected> many = new ArrayList<>();
        for (int i = 0; i < 9; i++) {
            many.add(start(replicas, "t" + i, "a"));
        }
        many.forEach(one -> assertThat(one.join()).isEqualTo(adapted));
        engines.getLast().adapters().register(folder("b"));
        assertThatThrownBy(() -> start(replicas, "t", "b").join()).isInstanceOf(CompletionException.class).cause().isInstanceOf(RuntimeFault.class)
                .hasMessageContaining("b");
    }

    @Test
    void anUploadArrivesEverywhere() throws IOException {
        AdapterRegistration registration = new AdapterRegistration(new AdapterId("t", "mine"), "tiny", new AdapterSource.Upload(), Map.of(), null, false);
        try (AdapterUpload upload = replicas.adapters().upload(registration)) {
            for (String file : List.of("adapter_config.json", "adapter_model.safetensors")) {
                try (InputStream content = Files.newInputStream(GOLDEN.resolve("adapters/lora-llama").resolve(file))) {
                    upload.file(file, content);
                }
            }
            upload.commit();
        }
        List<Integer> tokens = expected("t", "mine");
        for (Engine engine : engines) {
            assertThat(engine.adapters().find("t", "mine").orElseThrow().version()).isEqualTo(replicas.adapters().find("t", "mine").orElseThrow().version());
            assertThat(start(engine, "t", "mine").join()).isEqualTo(tokens);
        }
        replicas.adapters().remove(registration.id());
        assertThat(engines).allSatisfy(engine -> assertThat(engine.adapters().find("t", "mine")).isEmpty());
    }

    @Test
    void aMergeIsWhereItsRequestsGo() throws InterruptedException {
        replicas.adapters().register(folder("a"));
        List<Integer> adapted = start(replicas, "t", "a").join();
        MergeInfo merge = replicas.merges().merge("", List.of(new AdapterWeight("a")));
        for (int i = 0; i < 500 && replicas.merges().status().merged() == 0; i++) {
            Thread.sleep(10);
        }
        assertThat(replicas.merges().status().merges()).singleElement().satisfies(one -> assertThat(one.id()).isEqualTo(merge.id()));
        assertThat(start(replicas, "t", "a").join()).isEqualTo(adapted);
        assertThat(replicas.merges().status().rows()).as("computed with the copy").isPositive();
        assertThat(replicas.merges().unmerge(merge.id())).isPresent();
    }
}
