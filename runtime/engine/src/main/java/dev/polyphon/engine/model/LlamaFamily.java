package dev.polyphon.engine.model;

import dev.polyphon.engine.backend.NormKind;
import dev.polyphon.engine.model.ArchitectureSpec.Block;
import dev.polyphon.engine.model.ArchitectureSpec.LayerSpec;
import dev.polyphon.engine.weights.MalformedFileException;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;

/** LLaMA and the families that keep its layout: Mistral (a sliding window), Qwen2 (biases on query, key and value),
 * Qwen3 (query and key norms) and Mixtral (a mixture of experts). */
final class LlamaFamily implements Family {
    private static final Set<String> TYPES = Set.of("llama", "mistral", "mixtral", "qwen2", "qwen3");

    @Override
    public boolean covers(String modelType) {
        return TYPES.contains(modelType);
    }

    @Override
    public ArchitectureSpec spec(ModelConfig c) throws MalformedFileException {
        int hidden = c.integer("hidden_size");
        int heads = c.integer("num_attention_heads");
        int headDim = c.integer("head_dim", hidden / heads);
        int context = c.integer("max_position_embeddings");
        ArchitectureSpec spec = new ArchitectureSpec(c.string("model_type"), hidden, c.integer("intermediate_size"), c.integer("vocab_size"), context, heads,
                c.integer("num_key_value_heads", heads), headDim, (float) (1 / Math.sqrt(headDim)), 0, 0, layers(c),
                List.of(ConfigReading.rotary(c, headDim, context)), false, -1, NormKind.RMS, (float) c.number("rms_norm_eps"), 0,
                Block.SEQUENTIAL, ConfigReading.activation(c, "hidden_act", "silu"), true, 1, c.bool("tie_word_embeddings", false));
        return c.has("num_local_experts")
                ? spec.withExperts(new ArchitectureSpec.Experts(c.integer("num_local_experts"), c.integer("num_experts_per_tok", 2)))
                : spec;
    }

    /** Qwen windows only layers from {@code max_window_layers} on, and only when {@code use_sliding_window} says so. */
    private static List<LayerSpec> layers(ModelConfig c) throws MalformedFileException {
        int window = c.bool("use_sliding_window", true) ? c.integer("sliding_window", 0) : 0;
        int count = c.integer("num_hidden_layers");
        int firstWindowed = c.has("use_sliding_window") ? c.integer("max_window_layers", 0) : 0;
        List<LayerSpec> layers = new ArrayList<>(count);
        for (int i = 0; i < count; i++) {
            boolean windowed = c.json("layer_types").isArray()
                    ? "sliding_attention".equals(c.json("layer_types").path(i).asText())
                    : i >= firstWindowed;
            layers.add(new LayerSpec(windowed ? window : 0, 0));
        }
        return layers;
    }

    @Override
    public Layout layout(ArchitectureSpec spec) {
        String layer = "model.layers.%d.";
        Layout.Builder layout = Layout.builder()
                .put(Module.EMBED, "model.embed_tokens")
                .put(Module.ATTENTION_NORM, layer + "input_layernorm")
                .put(Module.Q, layer + "self_attn.q_proj")
                .put(Module.K, layer + "self_attn.k_proj")
                .put(Module.V, layer + "self_attn.v_proj")
                .put(Module.O, layer + "self_attn.o_proj")
                .put(Module.Q_NORM, layer + "self_attn.q_norm")
                .put(Module.K_NORM, layer + "self_attn.k_norm")
                .put(Module.MLP_NORM, layer + "post_attention_layernorm")
                .put(Module.FINAL_NORM, "model.norm")
                .put(Module.HEAD, "lm_head");
        if (spec.experts() == null) {
            return layout.put(Module.GATE, layer + "mlp.gate_proj")
                    .put(Module.UP, layer + "mlp.up_proj")
                    .put(Module.DOWN, layer + "mlp.down_proj")
                    .build();
        }
        String mixture = layer + "block_sparse_moe.";
        return layout.put(Module.ROUTER, mixture + "gate")
                .put(Module.GATE, mixture + "experts.%e.w1")
                .put(Module.UP, mixture + "experts.%e.w3")
                .put(Module.DOWN, mixture + "experts.%e.w2")
                .alias(".mlp.gate", ".block_sparse_moe.gate")
                .alias(".mlp.experts.", ".block_sparse_moe.experts.")
                .build();
    }
}
