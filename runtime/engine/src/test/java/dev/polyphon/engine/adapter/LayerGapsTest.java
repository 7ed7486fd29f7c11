package dev.polyphon.engine.adapter;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polyphon.engine.adapter.ops.Inspect;
import dev.polyphon.engine.adapter.ops.SavedAdapter;
import dev.polyphon.engine.backend.Kernels;
import dev.polyphon.engine.backend.reference.ReferenceKernels;
import dev.polyphon.engine.model.Checkpoint;
import dev.polyphon.runtime.OperationProgress;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What is said of adapters that change a module in some layers only. */
class LayerGapsTest {
    private static final Path GOLDEN = Path.of("src/test/resources/golden").toAbsolutePath();
    private static final ObjectMapper JSON = new ObjectMapper();

    @TempDir
    Path scratch;

    private static Stream<JsonNode> cases() throws IOException {
        List<JsonNode> cases = new ArrayList<>();
        try (Stream<Path> folders = Files.list(GOLDEN.resolve("cases"))) {
            for (Path folder : folders.sorted().toList()) {
                cases.add(JSON.readTree(folder.resolve("case.json").toFile()));
            }
        }
        return cases.stream().filter(one -> one.hasNonNull("adapter"));
    }

    @Test
    void nothingIsSaidOfAnyReferenceAdapter() throws IOException {
        int looked = 0;
        for (JsonNode one : cases().toList()) {
            AdapterFolder folder = AdapterFolder.open(GOLDEN.resolve("adapters").resolve(one.path("adapter").asText()));
            assertThat(Inspect.of(folder, null, OperationProgress.NONE).warnings()).as(folder.path().toString()).isEmpty();
            try (Checkpoint base = Checkpoint.open(GOLDEN.resolve("bases").resolve(one.path("base").asText())); Kernels kernels = new ReferenceKernels();
                    LoadedAdapter loaded = folder.load("one", one.path("task").textValue(), base, kernels)) {
                assertThat(Inspect.of(folder, base, OperationProgress.NONE).warnings()).as(folder.path().toString()).isEmpty();
                assertThat(loaded.warnings()).as(folder.path().toString()).isEmpty();
            }
            looked++;
        }
        assertThat(looked).isGreaterThan(100);
    }

    private List<String> warnings(String adapter, String lost, JsonNode options) throws IOException {
        SavedAdapter saved = SavedAdapter.read(AdapterFolder.open(GOLDEN.resolve("adapters").resolve(adapter)));
        SavedAdapter changed = new SavedAdapter(saved.config().setAll((ObjectNode) options));
        saved.tensors().values().stream().filter(tensor -> !tensor.name().contains(lost)).forEach(changed::put);
        assertThat(changed.tensors()).hasSizeLessThan(saved.tensors().size());
        Path folder = Files.createTempDirectory(scratch, "made").resolve("adapter");
        changed.save(folder);
        List<String> told;
        try (Checkpoint base = Checkpoint.open(GOLDEN.resolve("bases/llama")); Kernels kernels = new ReferenceKernels();
                LoadedAdapter loaded = AdapterFolder.open(folder).load("one", null, base, kernels)) {
            told = Inspect.of(AdapterFolder.open(folder), base, OperationProgress.NONE).warnings();
            assertThat(loaded.warnings()).isEqualTo(told);
        }
        return told;
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`', nullValues = "-", textBlock = """
            lora-llama                      | layers.1.self_attn.q_proj | {}                                                           | model.layers.*.self_attn.q_proj is adapted, but not in layer 1;
            lora-llama                      | layers.0.                 | {"target_modules": "all-linear"}                             | model.layers.*.mlp.down_proj is adapted, but not in layer 0;
            ref-llm-adapters-parallel-llama | layers.0.mlp              | {"target_modules": null}                                     | but not in layer 0;
            ia3-llama                       | layers.1.self_attn.v_proj | {}                                                           | model.layers.*.self_attn.v_proj is adapted, but not in layer 1;
            lora-llama                      | layers.1.                 | {"layers_to_transform": [0]}                                 | -
            lora-llama                      | layers.1.                 | {"layers_to_transform": 0, "layers_pattern": "layers"}       | -
            lora-llama                      | layers.1.self_attn.q_proj | {"exclude_modules": ["layers.1.self_attn.q_proj"]}           | -
            lora-llama                      | layers.1.self_attn.q_proj | {"exclude_modules": ".*layers\\\\.1\\\\.self_attn\\\\.q.*"} | -
            lora-llama                      | layers.1.                 | {"target_modules": "model\\\\.layers\\\\.0\\\\..*_proj"}        | -
            lora-llama                      | layers.1.self_attn.q_proj | {"target_modules": ["k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "layers.0.self_attn.q_proj"]} | -
            """)
    void tellsOfWhatLacksUnlessTheConfigurationSaysSo(String adapter, String lost, String options, String told) throws IOException {
        List<String> warnings = warnings(adapter, lost, JSON.readTree(options));
        if (told == null) {
            assertThat(warnings).isEmpty();
        } else {
            assertThat(warnings).isNotEmpty().anyMatch(warning -> warning.contains(told));
        }
    }

    @Test
    void withoutABaseTheTensorsShowHowManyLayersThereAre() throws IOException {
        ObjectNode options = (ObjectNode) JSON.readTree("{\"peft_type\": \"LORA\", \"target_modules\": [\"q\", \"v\"]}");
        List<String> names = new ArrayList<>(IntStream.of(0, 4, 5).mapToObj(i -> "base_model.model.transformer.h." + i + ".q.lora_A.weight").toList());
        AdapterOptions read = new AdapterOptions(scratch, options);
        assertThat(LayerGaps.of(read, names, 0, name -> true)).containsExactly("transformer.h.*.q is adapted, but not in layers 1-3; the configuration does not say "
                + "that these were left out");
        names.add("base_model.model.transformer.h.7.v.lora_A.weight");
        assertThat(LayerGaps.of(read, names, 0, name -> !name.contains("v"))).containsExactly("transformer.h.*.q is adapted, but not in layers 1-3, 6-7; the "
                + "configuration does not say that these were left out");
        assertThat(LayerGaps.of(read, List.of("hyper.layers.weight", "net.2.weight"), 0, name -> true)).isEmpty();
        options.putObject("config").putArray("leave_out").add(6).add(7);
        assertThat(LayerGaps.of(new AdapterOptions(scratch, options), names, 0, name -> !name.contains("v")).getFirst()).contains("layers 1-3;");
    }

    @Test
    void doesNotGoOn() throws IOException {
        AdapterOptions options = new AdapterOptions(scratch, JSON.readTree("{\"peft_type\": \"LORA\"}"));
        List<String> names = IntStream.range(0, 90).mapToObj(i -> "m.layers.1.experts." + i + ".w1.lora_A.weight").toList();
        assertThat(LayerGaps.of(options, names, 0, name -> true)).hasSize(21).last().isEqualTo("and 70 modules more");
    }
}
