package dev.polyphon.engine;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.polyphon.engine.backend.cpu.CpuKernels;
import dev.polyphon.runtime.AdapterId;
import dev.polyphon.runtime.AdapterRegistration;
import dev.polyphon.runtime.AdapterTier;
import dev.polyphon.runtime.AdapterWeight;
import dev.polyphon.runtime.GenerationRequest;
import dev.polyphon.runtime.Prompt;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.runtime.RuntimeObserver;
import dev.polyphon.runtime.Sampling;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** A hypernetwork is registered once; what it generates for a task is in the pool like any adapter, by the task that requests name. */
class GeneratedAdaptersTest {
    private static final Path GOLDEN = Path.of("src/test/resources/golden");
    private static final String NETWORK = "ref-hyper-adapters-llama";

    private static List<Integer> ids(Engine engine, String adapter, int[] prompt, int count, String task) {
        Collected sink = new Collected();
        Sampling greedy = Sampling.builder().temperature(0).maxTokens(count).ignoreEos(true).build();
        engine.generate(new GenerationRequest("r", "anyone", "llama", List.of(new AdapterWeight(adapter, 1, task)), new Prompt.Tokens(prompt), greedy, 1), sink);
        sink.end.join();
        return sink.tokens;
    }

    @Test
    void whatWasGeneratedForATaskStaysInThePool() throws IOException {
        JsonNode known = new ObjectMapper().readTree(GOLDEN.resolve("cases").resolve(NETWORK).resolve("case.json").toFile());
        String task = known.path("task").asText();
        int[] prompt = new ObjectMapper().convertValue(known.at("/prompts/0"), int[].class);
        List<Integer> wanted = List.of(new ObjectMapper().convertValue(known.at("/greedy/0"), Integer[].class));
        List<String> loads = new CopyOnWriteArrayList<>();
        try (Engine engine = Engine.open(EngineOptions.of("llama", GOLDEN.resolve("bases/llama")).withKv(4 << 20, 16), CpuKernels.open(1))) {
            engine.observe(new RuntimeObserver() {
                @Override
                public void adapterLoad(String adapter, Duration time, boolean success) {
                    loads.add(adapter);
                }
            });
            engine.adapters().register(AdapterRegistration.folder(NETWORK, "llama", GOLDEN.resolve("adapters").resolve(NETWORK)));
            assertThat(ids(engine, NETWORK, prompt, wanted.size(), task)).isEqualTo(wanted);
            assertThat(engine.adapters().find("anyone", NETWORK).orElseThrow().tier()).isEqualTo(AdapterTier.LOADED);
            long bytes = engine.stats().adapterBytes();
            assertThat(bytes).isPositive();
            assertThat(loads).containsExactly(NETWORK);
            for (int i = 0; i < 3; i++) {
                assertThat(ids(engine, NETWORK, prompt, wanted.size(), task)).isEqualTo(wanted);
            }
            assertThat(loads).as("the same task again").hasSize(1);
            List<Integer> other = ids(engine, NETWORK, prompt, wanted.size(), "lang0");
            assertThat(other).isNotEqualTo(wanted);
            assertThat(loads).as("another task").hasSize(2);
            assertThat(engine.stats().adapterBytes()).isEqualTo(2 * bytes);
            assertThat(ids(engine, NETWORK, prompt, wanted.size(), task)).isEqualTo(wanted);
            assertThat(ids(engine, NETWORK, prompt, wanted.size(), "lang0")).isEqualTo(other);
            assertThat(loads).as("both are there").hasSize(2);
            engine.adapters().unload(AdapterId.shared(NETWORK));
            List<String> before = new ArrayList<>(loads);
            assertThat(ids(engine, NETWORK, prompt, wanted.size(), task)).isEqualTo(wanted);
            assertThat(loads).as("after it was unloaded").hasSize(before.size() + 1);
        }
    }

    @Test
    void aHypernetworkIsLoadedWithTheFirstOfItsTasks() throws IOException {
        try (Engine engine = Engine.open(EngineOptions.of("llama", GOLDEN.resolve("bases/llama")).withKv(4 << 20, 16), CpuKernels.open(1))) {
            engine.adapters().register(AdapterRegistration.folder(NETWORK, "llama", GOLDEN.resolve("adapters").resolve(NETWORK)));
            assertThat(engine.adapters().load(AdapterId.shared(NETWORK)).join().tier()).isEqualTo(AdapterTier.LOADED);
            List<String> loads = new CopyOnWriteArrayList<>();
            engine.observe(new RuntimeObserver() {
                @Override
                public void adapterLoad(String adapter, Duration time, boolean success) {
                    loads.add(adapter);
                }
            });
            ids(engine, NETWORK, new int[] {5}, 1, "lang0");
            assertThat(loads).isEmpty();
        }
    }

    /** Who names no task, or one that there is not, is told so; the adapter serves others as before, and its status shows no failure. */
    @ParameterizedTest
    @CsvSource(nullValues = "-", value = {NETWORK + ",-,must name one of lang0; lang1; lang2", NETWORK + ",nope,has no task nope",
        "poly-llama,99,has no task 99", "mix-a,lang0,an adapter of kind LORA has no tasks"})
    void aWrongTaskIsTheMistakeOfTheOneWhoAsks(String name, String task, String why) throws IOException {
        try (Engine engine = Engine.open(EngineOptions.of("llama", GOLDEN.resolve("bases/llama")).withKv(4 << 20, 16), CpuKernels.open(1))) {
            engine.adapters().register(AdapterRegistration.folder(name, "llama", GOLDEN.resolve("adapters").resolve(name)));
            assertThatThrownBy(() -> ids(engine, name, new int[] {5}, 1, task)).cause().hasMessageContaining(why.replace(';', ',')).satisfies(fault -> {
                assertThat(((RuntimeFault) fault).kind()).isEqualTo(RuntimeFault.Kind.INVALID);
                assertThat(((RuntimeFault) fault).param()).hasValue("task");
            });
            assertThat(engine.adapters().find("anyone", name).orElseThrow().failure()).isNull();
            String right = name.equals(NETWORK) ? "lang0" : name.equals("mix-a") ? null : "1";
            assertThat(ids(engine, name, new int[] {5}, 1, right)).hasSize(1);
        }
    }
}
