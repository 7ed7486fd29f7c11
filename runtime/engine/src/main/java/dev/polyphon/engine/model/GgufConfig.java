package dev.polyphon.engine.model;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polyphon.engine.weights.Floats;
import dev.polyphon.engine.weights.Gguf;
import dev.polyphon.engine.weights.MalformedFileException;
import dev.polyphon.engine.weights.TensorView;
import java.nio.file.Path;
import java.util.Map;

/**
 * Turns a GGUF file's metadata into the {@code config.json} that they were made from, as far as llama.cpp's converter keeps it; what it leaves out is
 * what llama.cpp itself assumes.
 */
final class GgufConfig {
    /** Architectures by another name than the {@code model_type}'s. */
    private static final Map<String, String> TYPES = Map.of("gptneox", "gpt_neox", "gemma3", "gemma3_text");
    /** The 27B models alone scale attention by the hidden size; llama.cpp tells them by their layers, too. */
    private static final Map<String, Integer> LAYERS_OF_27B = Map.of("gemma2", 46, "gemma3", 62);

    private final Path path;
    private final Gguf file;
    private final String architecture;
    private final ObjectNode config = JsonNodeFactory.instance.objectNode();

    GgufConfig(Path path, Gguf file, String architecture) {
        this.path = path;
        this.file = file;
        this.architecture = architecture;
    }

    ObjectNode json() throws MalformedFileException {
        config.put("model_type", TYPES.getOrDefault(architecture, architecture));
        integer("embedding_length", true, "hidden_size", "n_embd");
        integer("feed_forward_length", true, "intermediate_size", "n_inner");
        integer("block_count", true, "num_hidden_layers", "n_layer");
        integer("context_length", true, "max_position_embeddings", "n_positions", "seq_length");
        integer("attention.head_count", true, "num_attention_heads", "n_head");
        integer("attention.head_count_kv", false, "num_key_value_heads");
        integer("attention.key_length", false, "head_dim");
        integer("attention.sliding_window", false, "sliding_window");
        integer("expert_count", false, "num_local_experts");
        integer("expert_used_count", false, "num_experts_per_tok");
        number("attention.layer_norm_rms_epsilon", "rms_norm_eps");
        number("attention.layer_norm_epsilon", "layer_norm_eps", "layer_norm_epsilon", "norm_epsilon");
        number("attn_logit_softcapping", "attn_logit_softcapping");
        number("final_logit_softcapping", "final_logit_softcapping");
        file.findBool(architecture + ".use_parallel_residual").ifPresent(v -> config.put("use_parallel_residual", v));
        TensorView embedding = file.find("token_embd.weight").orElseThrow(() -> new MalformedFileException(path, "no tensor token_embd.weight"));
        config.put("vocab_size", embedding.dim(0));
        config.put("tie_word_embeddings", file.find("output.weight").isEmpty());
        if (config.path("num_local_experts").asInt(1) == 0) {
            config.remove("num_local_experts");
        }
        rotary();
        if (architecture.startsWith("gemma")) {
            gemma();
        }
        refuseWhatIsNotComputed();
        return config;
    }

    private void rotary() throws MalformedFileException {
        ObjectNode rope = config.putObject("rope_parameters");
        file.findFloating(key("rope.freq_base")).ifPresent(v -> rope.put("rope_theta", v));
        file.findString(key("rope.scaling.type")).filter(t -> !t.equals("none")).ifPresent(v -> rope.put("rope_type", v));
        file.findFloating(key("rope.scaling.factor")).ifPresent(v -> rope.put("factor", v));
        file.findInteger(key("rope.scaling.original_context_length")).ifPresent(v -> rope.put("original_max_position_embeddings", v));
        file.findFloating(key("rope.scaling.attn_factor")).ifPresent(v -> rope.put("attention_factor", v));
        factors("rope_factors_short.weight", rope, "short_factor");
        factors("rope_factors_long.weight", rope, "long_factor");
        int headDim = config.path("head_dim").asInt(config.path("hidden_size").asInt() / Math.max(1, config.path("num_attention_heads").asInt()));
        long rotated = file.findInteger(key("rope.dimension_count")).orElse(headDim);
        if (rotated != headDim) {
            if (!architecture.equals("gptneox") && !architecture.equals("phi3")) {
                throw new MalformedFileException(path, key("rope.dimension_count") + " is " + rotated + " of a head's " + headDim
                        + " columns; only whole heads are rotated in " + architecture);
            }
            rope.put("partial_rotary_factor", (double) rotated / headDim);
        } else if (architecture.equals("gptneox")) {
            rope.put("partial_rotary_factor", 1.0);
        }
    }

    private void factors(String tensor, ObjectNode rope, String name) {
        file.find(tensor).ifPresent(factors -> {
            ArrayNode values = rope.putArray(name);
            for (float value : Floats.all(factors)) {
                values.add(value);
            }
        });
    }

    private void gemma() throws MalformedFileException {
        int layers = config.path("num_hidden_layers").asInt();
        if (LAYERS_OF_27B.getOrDefault(architecture, -1) == layers) {
            config.put("query_pre_attn_scalar", config.path("hidden_size").asInt() / config.path("num_attention_heads").asInt());
        }
        if (!architecture.equals("gemma3")) {
            return;
        }
        ObjectNode global = config.path("rope_parameters").deepCopy();
        if (!global.has("rope_theta")) {
            global.put("rope_theta", 1_000_000);
        }
        ObjectNode rope = config.putObject("rope_parameters");
        rope.set("full_attention", global);
        rope.putObject("sliding_attention").put("rope_theta", file.findFloating(key("rope.freq_base_swa")).orElse(10_000));
        if (!config.has("sliding_window")) {
            ArrayNode types = config.putArray("layer_types");
            for (int i = 0; i < layers; i++) {
                types.add("full_attention");
            }
        }
    }

    /** Keys and tensors that change what a model computes and that no family here reads. */
    private void refuseWhatIsNotComputed() throws MalformedFileException {
        for (String key : new String[] {"attention.scale", "logit_scale", "residual_scale", "embedding_scale", "attention.clamp_kqv",
            "attention.max_alibi_bias", "expert_shared_count", "expert_weights_scale"}) {
            double found = file.keys().contains(key(key)) ? file.floating(key(key)) : 0;
            if (found != 0) {
                throw new MalformedFileException(path, key(key) + " is " + found + ", which is not supported");
            }
        }
    }

    private String key(String name) {
        return architecture + "." + name;
    }

    private void integer(String key, boolean required, String... names) throws MalformedFileException {
        if (required || file.keys().contains(key(key))) {
            long value = file.integer(key(key));
            for (String name : names) {
                config.put(name, value);
            }
        }
    }

    private void number(String key, String... names) throws MalformedFileException {
        if (file.keys().contains(key(key))) {
            double value = file.floating(key(key));
            for (String name : names) {
                config.put(name, value);
            }
        }
    }
}
