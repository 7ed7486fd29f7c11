package dev.polyphon.engine.adapter;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polyphon.engine.adapter.AdapterOptions.Patterns;
import dev.polyphon.engine.adapter.ops.SavedAdapter;
import dev.polyphon.engine.backend.Kernels;
import dev.polyphon.engine.backend.reference.ReferenceKernels;
import dev.polyphon.engine.model.Checkpoint;
import dev.polyphon.engine.model.Module;
import dev.polyphon.engine.model.Site;
import dev.polyphon.engine.weights.Floats;
import dev.polyphon.engine.weights.SafeTensors;
import dev.polyphon.engine.weights.SafeTensorsWriter;
import dev.polyphon.engine.weights.TensorFile;
import dev.polyphon.engine.weights.TensorView;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.function.BiFunction;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What is refused, and why; that what is accepted is applied rightly is held by the reference vectors. */
class AdapterFolderTest {
    private static final Path GOLDEN = Path.of("src/test/resources/golden");
    private static final ObjectMapper JSON = new ObjectMapper();

    private static Kernels kernels;
    private static Checkpoint base;

    @TempDir
    Path scratch;

    @BeforeAll
    static void open() throws IOException {
        kernels = new ReferenceKernels();
        base = Checkpoint.open(GOLDEN.resolve("bases/llama"));
    }

    @AfterAll
    static void close() {
        base.close();
        kernels.close();
    }

    private static AdapterOptions options(String json) throws IOException {
        return new AdapterOptions(Path.of("adapter_config.json"), JSON.readTree(json));
    }

    @Test
    void patternsMatchTheEndOfAPathAfterADot() throws IOException {
        Patterns ranks = options("""
                {"rank_pattern": {"q_proj": 2, "layers.1.mlp.down_proj": 9, "layers\\\\.[45]\\\\..*": 3}}""").patterns("rank_pattern", 8);
        assertThat(ranks.of("model.layers.0.self_attn.q_proj")).isEqualTo(2);
        assertThat(ranks.of("model.layers.0.self_attn.xq_proj")).isEqualTo(8);
        assertThat(ranks.of("model.layers.1.mlp.down_proj")).isEqualTo(9);
        assertThat(ranks.of("model.layers.11.mlp.down_proj")).isEqualTo(8);
        assertThat(ranks.of("model.layers.4.self_attn.v_proj")).isEqualTo(3);
    }

    @ParameterizedTest
    @ValueSource(strings = {"\"(\": 1", "\"q\": \"x\""})
    void refusesMalformedPatterns(String entry) {
        assertThatThrownBy(() -> options("{\"alpha_pattern\": {" + entry + "}}").patterns("alpha_pattern", 1)).isInstanceOf(AdapterFault.class)
                .hasMessageContaining("alpha_pattern");
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            lora-llama-qv-r8 | layer_replication | [[0, 2]]            | layer_replication
            lora-llama-qv-r8 | invented_later    | 3                   | invented_later
            lora-llama-qv-r8 | init_lora_weights | "corda"             | init_lora_weights
            lora-llama-qv-r8 | init_lora_weights | "loftq"             | init_lora_weights
            lora-llama-qv-r8 | init_lora_weights | "pissa_niter_16"    | path_initial_model_for_weight_conversion
            lora-llama-qv-r8 | modules_to_save   | "lm_head"           | modules_to_save must be a list of strings
            ia3-llama        | feedforward_modules | "("               | feedforward_modules
            lora-llama-qv-r8 | r                 | 0                   | at least 1
            lora-llama-qv-r8 | r                 | "8"                 | r
            lora-llama-qv-r8 | r                 | 7                   | lora_A
            lora-llama-qv-r8 | lora_alpha        | 1e39                | lora_alpha = 1.0E39 is too large
            lora-llama-qv-r8 | alpha_pattern     | {"q_proj": 1e300}   | alpha_pattern.q_proj = 1.0E300 is too large
            lora-llama-qv-r8 | use_bdlora        | {"match": true}     | use_bdlora
            lora-llama-qv-r8 | bias              | "some"              | option bias = "some" is not supported
            vblora-llama     | topk              | 99                  | topk must be 1 to num_vectors
            road-llama       | group_size        | 7                   | group_size 7
            lora-llama-qv-r8 | peft_type         | "NEXT_YEARS"        | NEXT_YEARS
            lora-llama-qv-r8 | peft_type         | null                | peft_type
            ia3-llama        | invented_later    | true                | invented_later
            alora-llama      | modules_to_save   | ["lm_head"]         | alora_invocation_tokens together with modules_to_save
            alora-llama      | trainable_token_indices | [3]           | alora_invocation_tokens together with trainable_token_indices
            alora-llama      | bias              | "all"               | alora_invocation_tokens together with bias = all
            """)
    void refusesOptionsThatItDoesNotUnderstand(String adapter, String option, String value, String message) throws IOException {
        Path folder = altered(adapter, config -> config.set(option, JSON.readTree(value)), (name, tensor) -> tensor);
        assertThatThrownBy(() -> load(folder)).isInstanceOf(IOException.class).hasMessageContaining(message);
    }

    @Test
    void refusesWhatDoesNotFitTheBase() {
        assertThatThrownBy(() -> load(GOLDEN.resolve("adapters/lora-llama-mha-bias"))).isInstanceOf(AdapterFault.class)
                .hasMessageContaining("k_proj.lora_B.weight").hasMessageContaining("this base needs [");
        assertThatThrownBy(() -> load(GOLDEN.resolve("adapters/lora-bloom"))).isInstanceOf(AdapterFault.class)
                .hasMessageContaining("belongs to no module of this base");
    }

    @Test
    void refusesMissingSurplusAndInfiniteTensors() throws IOException {
        Path missing = altered("lora-llama-qv-r8", c -> {}, (name, tensor) -> name.endsWith("layers.1.self_attn.v_proj.lora_B.weight") ? null : tensor);
        assertThatThrownBy(() -> load(missing)).isInstanceOf(AdapterFault.class).hasMessageContaining("layers.1.self_attn.v_proj.lora_B.weight is missing");
        Path infinite = altered("lora-llama-qv-r8", c -> {}, (name, tensor) -> {
            if (name.endsWith("layers.0.self_attn.q_proj.lora_A.weight")) {
                tensor[3] = Float.NaN;
            }
            return tensor;
        });
        assertThatThrownBy(() -> load(infinite)).isInstanceOf(AdapterFault.class).hasMessageContaining("q_proj.lora_A.weight holds NaN");
        Path surplus = altered("lora-llama-qv-r8", config -> config.put("peft_type", "ADALORA"), (name, tensor) -> tensor);
        assertThatThrownBy(() -> load(surplus)).isInstanceOf(AdapterFault.class);
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            ["q_proj", "v_proj"]                       | null       | layers.\\d.self_attn.v_proj | target_modules names model.layers.*.self_attn.v_proj
            ["self_attn.q_proj", "self_attn.v_proj"]   | null       | layers.\\d.self_attn.q_proj | target_modules names model.layers.*.self_attn.q_proj
            ".*\\\\.[qv]_proj"                         | null       | layers.\\d.self_attn.v_proj | target_modules names model.layers.*.self_attn.v_proj
            ["model.layers.0.self_attn.v_proj"]        | null       | layers.0.self_attn.v_proj   | target_modules names model.layers.*.self_attn.v_proj
            ["q_proj", "v_proj"]                       | null       | layers.1.self_attn.v_proj   |
            ["q_proj", "v_proj"]                       | ["v_proj"] | layers.\\d.self_attn.v_proj |
            ["q_proj", "v_proj", "c_attn", "j_proj"]   | null       | no such thing               |
            "all-linear"                               | ["k_proj", "o_proj", "gate_proj", "up_proj", "down_proj"] | layers.\\d.self_attn.v_proj | target_modules names model.layers.*.self_attn.v_proj
            "all-linear"                               | ["k_proj", "o_proj", "gate_proj", "up_proj", "down_proj"] | layers.1.self_attn.v_proj   |
            "(?P<kind>[qv]_proj)"                      | null       | layers.\\d.self_attn.v_proj |
            null                                       | null       | layers.\\d.self_attn.v_proj |
            """)
    void refusesAnAdapterThatLostAllTensorsOfAModule(String targets, String excluded, String lost, String message) throws IOException {
        Path folder = altered("lora-llama-qv-r8", config -> {
            config.set("target_modules", JSON.readTree(targets));
            config.set("exclude_modules", JSON.readTree(excluded));
        }, (name, tensor) -> name.matches(".*" + lost + ".*") ? null : tensor);
        if (message == null) {
            load(folder);
        } else {
            assertThatThrownBy(() -> load(folder)).isInstanceOf(AdapterFault.class).hasMessageContaining(message).hasMessageContaining("no tensors");
        }
    }

    @Test
    void comparesModulesInChosenLayersOnly() throws IOException {
        for (String chosen : List.of("[1]", "1")) {
            Path folder = altered("lora-llama-qv-r8", config -> {
                config.set("target_modules", JSON.readTree("[\"layers.0.self_attn.v_proj\", \"layers.1.self_attn.v_proj\", \"q_proj\"]"));
                config.set("layers_to_transform", JSON.readTree(chosen));
            }, (name, tensor) -> name.contains("layers.0.") ? null : tensor);
            load(folder);
        }
        Path none = altered("lora-llama-qv-r8", config -> config.set("layers_to_transform", JSON.readTree("[0]")),
                (name, tensor) -> name.contains("layers.0.self_attn.v_proj") ? null : tensor);
        assertThatThrownBy(() -> load(none)).isInstanceOf(AdapterFault.class).hasMessageContaining("v_proj");
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            layers  | layers.0 |
            layers  | layers.1 | v_proj
            h       | layers.1 |
            """)
    void looksForChosenLayersAfterTheNamesOfLayersPattern(String pattern, String lost, String message) throws IOException {
        Path folder = altered("lora-llama-qv-r8", config -> config.put("layers_pattern", pattern).putArray("layers_to_transform").add(1),
                (name, tensor) -> name.contains(lost + ".self_attn.v_proj") ? null : tensor);
        if (message == null) {
            load(folder);
        } else {
            assertThatThrownBy(() -> load(folder)).isInstanceOf(AdapterFault.class).hasMessageContaining(message);
        }
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            llama          | modules-to-save-embed-head-llama | lm_head.weight                      | modules_to_save names lm_head, but tensor lm_head.weight is missing
            llama          | layer-norm-in-lora-llama | layers.1.input_layernorm.weight             | layers.1.input_layernorm.weight is missing
            llama          | token-indices-llama      | trainable_tokens_delta                      | trainable_token_indices names tokens
            llama          | lora-bias-llama          | layers.1.self_attn.v_proj.lora_B.bias       | tensor model.layers.1.self_attn.v_proj.lora_B.bias is missing
            llama-mha-bias | bias-all-llama           | layers.0.mlp.up_proj.base_layer.bias        | bias = all, but tensor model.layers.0.mlp.up_proj.bias is missing
            opt            | bias-lora-only-opt       | layers.1.fc1.base_layer.bias                | bias = lora_only, but tensor model.decoder.layers.1.fc1.bias is missing
            opt            | bias-all-opt             | decoder.final_layer_norm.bias               | bias = all, but tensor model.decoder.final_layer_norm.bias is missing
            gpt2           | bias-all-gpt2            | h.1.ln_2.bias                               | bias = all, but tensor transformer.h.1.ln_2.bias is missing
            mixtral        | lora-experts-gate-mixtral | gate.lora_                                 | target_parameters names gate.weight
            mixtral        | lora-experts-mixtral     | experts.base_layer.lora_                    | target_parameters names gate_up_proj
            mixtral        | lora-experts-mixtral     | experts.lora_                               | target_parameters names down_proj
            llama-tied-rope3 | tied-embed-llama       | lm_head.                                    | ensure_weight_tying = true, but of embedding and head, which are one in this base, only the embedding has tensors
            opt            | boft-bias-opt            | layers.1.fc1.base_layer.bias                | bias = boft_only, but tensor model.decoder.layers.1.fc1.bias is missing
            """)
    void refusesAnAdapterWithoutTensorsThatAnOptionPromises(String on, String adapter, String lost, String message) throws IOException {
        Path whole = altered(adapter, config -> {}, (name, tensor) -> tensor);
        Path folder = altered(adapter, config -> {}, (name, tensor) -> name.contains(lost) ? null : tensor);
        try (Checkpoint its = Checkpoint.open(GOLDEN.resolve("bases").resolve(on))) {
            AdapterFolder.open(whole).load("a", null, its, kernels).close();
            assertThatThrownBy(() -> AdapterFolder.open(folder).load("a", null, its, kernels)).isInstanceOf(AdapterFault.class).hasMessageContaining(message);
        }
    }

    /** Their biases are saved like all others, and are the modules' own already. */
    @Test
    void savedModulesHaveTheirBiasesOnce() throws IOException {
        try (Checkpoint opt = Checkpoint.open(GOLDEN.resolve("bases/opt"))) {
            SavedAdapter saved = SavedAdapter.read(AdapterFolder.open(GOLDEN.resolve("adapters/bias-all-opt")));
            saved.config().putArray("modules_to_save").add("final_layer_norm").add("fc1");
            for (TensorView bias : List.copyOf(saved.tensors().values())) {
                if (bias.name().contains("final_layer_norm.bias") || bias.name().contains("fc1.bias")) {
                    String weight = bias.name().replace(".bias", ".weight");
                    TensorView before = opt.file().find(weight.replace("base_model.model.", "")).orElseThrow();
                    saved.put(weight, before.shape(), Floats.all(before));
                }
            }
            saved.save(scratch.resolve("saved"));
            try (LoadedAdapter loaded = AdapterFolder.open(scratch.resolve("saved")).load("a", null, opt, kernels)) {
                for (Site site : List.of(Site.of(Module.FINAL_NORM), new Site(0, Module.MLP_NORM), new Site(1, Module.UP))) {
                    assertThat(loaded.weights().at(site)).as(site.toString()).hasSize(1);
                }
                assertThat(loaded.weights().at(new Site(1, Module.DOWN))).hasSize(2);
            }
        }
    }

    @Test
    void refusesBiasesOfDeltasWhereTheOptionIsNotSet() throws IOException {
        Path folder = altered("lora-bias-llama", config -> config.put("lora_bias", false), (name, tensor) -> tensor);
        assertThatThrownBy(() -> load(folder)).isInstanceOf(AdapterFault.class).hasMessageContaining("lora_B.bias is not understood");
    }

    @Test
    void givesUpPatternsThatTakeForEver() throws IOException {
        Path targets = altered("lora-llama-qv-r8", config -> config.put("target_modules", "(([a-z0-9._]+)+)+!"), (name, tensor) -> tensor);
        assertThatThrownBy(() -> load(targets)).isInstanceOf(AdapterFault.class).hasMessageContaining("target_modules has a pattern that takes too long");
        Path ranks = altered("lora-llama-qv-r8", config -> config.putObject("rank_pattern").put("(([a-z0-9._]+)+)+!", 4), (name, tensor) -> tensor);
        assertThatThrownBy(() -> load(ranks)).isInstanceOf(AdapterFault.class).hasMessageContaining("rank_pattern has a pattern that takes too long");
    }

    @ParameterizedTest
    @ValueSource(strings = {"dora-llama", "ia3-llama", "prefix-tuning-llama", "alora-llama", "lora-bias-llama", "oft-llama"})
    void refusesToMixWhatDoesNotAddUp(String adapter) throws IOException {
        AdapterFolder folder = AdapterFolder.open(GOLDEN.resolve("adapters").resolve(adapter));
        assertThatThrownBy(() -> AdapterFolder.load(List.of(new AdapterPart(adapter, folder, null, 0.5f)), base, kernels))
                .isInstanceOf(AdapterFault.class).hasMessageContaining(adapter + " cannot be weighted or mixed");
    }

    @Test
    void aRequestToAnAdapterOfManyTasksMustNameOne() throws IOException {
        AdapterFolder folder = AdapterFolder.open(GOLDEN.resolve("adapters/ref-mhr-llama"));
        assertThat(folder.tasks()).contains("task2");
        assertThatThrownBy(() -> folder.load("a", null, base, kernels)).isInstanceOf(AdapterFault.class).hasMessageContaining("task0, ");
        assertThatThrownBy(() -> folder.load("a", "task9", base, kernels)).isInstanceOf(AdapterFault.class).hasMessageContaining("no task task9");
    }

    private static void load(Path folder) throws IOException {
        AdapterFolder.open(folder).load("a", null, base, kernels).close();
    }

    /** Changes an adapter's configuration. */
    @FunctionalInterface
    private interface Edit {
        void apply(ObjectNode config) throws IOException;
    }

    /** A copy of a reference adapter, changed; tensors for which null is given are left out. */
    private Path altered(String adapter, Edit edit, BiFunction<String, float[], float[]> tensors) throws IOException {
        Path from = GOLDEN.resolve("adapters").resolve(adapter);
        Path to = Files.createTempDirectory(scratch, adapter);
        ObjectNode config = (ObjectNode) JSON.readTree(Files.readAllBytes(from.resolve("adapter_config.json")));
        edit.apply(config);
        Files.write(to.resolve("adapter_config.json"), JSON.writeValueAsBytes(config));
        SafeTensorsWriter writer = new SafeTensorsWriter();
        try (TensorFile file = SafeTensors.open(from.resolve("adapter_model.safetensors"))) {
            for (TensorView tensor : file.tensors()) {
                float[] values = tensors.apply(tensor.name(), Floats.all(tensor));
                if (values != null) {
                    writer.add(tensor.name(), tensor.shape(), values);
                }
            }
            writer.write(to.resolve("adapter_model.safetensors"));
        }
        return to;
    }
}
