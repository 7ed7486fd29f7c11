package dev.polyphon.engine.adapter;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.polyphon.engine.model.ModelConfig;
import java.io.IOException;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class LoraConfigTest {
    private static LoraConfig read(String json) throws IOException {
        JsonNode node = new ObjectMapper().readTree(json);
        return LoraConfig.read(new ModelConfig(Path.of("adapter_config.json"), node), node);
    }

    @Test
    void patternsMatchTheEndOfAPathAfterADot() throws IOException {
        LoraConfig config = read("""
                {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "rank_pattern": {"q_proj": 2, "layers.1.mlp.down_proj": 9, "layers\\\\.[45]\\\\..*": 3},
                 "alpha_pattern": {"v_proj": 4}}""");
        assertThat(config.rank("model.layers.0.self_attn.q_proj")).isEqualTo(2);
        assertThat(config.rank("model.layers.0.self_attn.xq_proj")).isEqualTo(8);
        assertThat(config.rank("model.layers.1.mlp.down_proj")).isEqualTo(9);
        assertThat(config.rank("model.layers.11.mlp.down_proj")).isEqualTo(8);
        assertThat(config.rank("model.layers.4.self_attn.v_proj")).isEqualTo(3);
        assertThat(config.scale("model.layers.0.self_attn.q_proj")).isEqualTo(8f);
        assertThat(config.scale("model.layers.0.self_attn.v_proj")).isEqualTo(0.5f);
        assertThat(config.scale("model.layers.0.self_attn.k_proj")).isEqualTo(2f);
    }

    @Test
    void rankStabilisedScalesByTheRoot() throws IOException {
        assertThat(read("{\"peft_type\": \"LORA\", \"r\": 16, \"lora_alpha\": 8, \"use_rslora\": true}").scale("x")).isEqualTo(2f);
    }

    @Test
    void theFirstReleasesLackMostKeys() throws IOException {
        assertThat(read("""
                {"base_model_name_or_path": "llama", "bias": "none", "enable_lora": null, "fan_in_fan_out": false, "inference_mode": true,
                 "lora_alpha": 16, "lora_dropout": 0.05, "merge_weights": false, "modules_to_save": null, "peft_type": "LORA", "r": 8,
                 "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM"}""").scale("x")).isEqualTo(2f);
    }

    @ParameterizedTest
    @ValueSource(strings = {"\"use_dora\": true", "\"lora_bias\": true", "\"bias\": \"all\"", "\"modules_to_save\": [\"lm_head\"]",
        "\"trainable_token_indices\": [1]", "\"init_lora_weights\": \"pissa\"", "\"layer_replication\": [[0, 2]]", "\"invented_later\": 3"})
    void refusesWhatWouldChangeTheMathematics(String option) {
        assertThatThrownBy(() -> read("{\"peft_type\": \"LORA\", \"r\": 8, " + option + "}")).isInstanceOf(AdapterFault.class)
                .hasMessageContaining(option.substring(1, option.indexOf('"', 1)));
    }

    @ParameterizedTest
    @ValueSource(strings = {"{\"r\": 0}", "{\"r\": \"8\"}", "{}", "{\"r\": 8, \"rank_pattern\": {\"(\": 1}}", "{\"r\": 8, \"alpha_pattern\": {\"q\": \"x\"}}"})
    void refusesWhatIsMalformed(String json) {
        assertThatThrownBy(() -> read(json)).isInstanceOf(IOException.class);
    }
}
