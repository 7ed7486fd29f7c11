package dev.polyphon.engine.model;

import dev.polyphon.engine.backend.NormKind;
import dev.polyphon.engine.model.ArchitectureSpec.Block;
import dev.polyphon.engine.model.ArchitectureSpec.LayerSpec;
import dev.polyphon.engine.weights.MalformedFileException;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;

/** Gemma 2 and 3: norms before and after each block, scaled embeddings, local and global layers; soft caps (2) or query and key norms (3). */
final class GemmaFamily implements Family {
    private static final Set<String> TYPES = Set.of("gemma2", "gemma3_text");

    @Override
    public boolean covers(String modelType) {
        return TYPES.contains(modelType);
    }

    @Override
    public ArchitectureSpec spec(ModelConfig c) throws MalformedFileException {
        int hidden = c.integer("hidden_size");
        int headDim = c.integer("head_dim");
        int context = c.integer("max_position_embeddings");
        boolean third = c.string("model_type").equals("gemma3_text");
        return new ArchitectureSpec(c.string("model_type"), hidden, c.integer("intermediate_size"), c.integer("vocab_size"), context,
                c.integer("num_attention_heads"), c.integer("num_key_value_heads"), headDim,
                (float) (1 / Math.sqrt(c.number("query_pre_attn_scalar", headDim))), (float) c.number("attn_logit_softcapping", 0),
                (float) c.number("final_logit_softcapping", 0), layers(c, third), rotaries(c, third, headDim, context), false, -1, NormKind.RMS,
                (float) c.number("rms_norm_eps"), 1, Block.SEQUENTIAL, ConfigReading.activation(c, "hidden_activation", "gelu_pytorch_tanh"), true,
                (float) Math.sqrt(hidden), c.bool("tie_word_embeddings", true));
    }

    /** Every second layer of Gemma 2 is global, every sixth of Gemma 3, unless the configuration lists them. */
    private static List<LayerSpec> layers(ModelConfig c, boolean third) throws MalformedFileException {
        int count = c.integer("num_hidden_layers");
        int window = c.integer("sliding_window", 0);
        int period = c.integer("sliding_window_pattern", third ? 6 : 2);
        List<LayerSpec> layers = new ArrayList<>(count);
        for (int i = 0; i < count; i++) {
            boolean local = c.json("layer_types").isArray()
                    ? c.json("layer_types").path(i).asText().equals("sliding_attention")
                    : (i + 1) % period != 0;
            layers.add(new LayerSpec(local ? window : 0, local && third ? 1 : 0));
        }
        return layers;
    }

    /** Gemma 3's local layers have an embedding of their own. */
    private static List<RotarySpec> rotaries(ModelConfig c, boolean third, int headDim, int context) throws MalformedFileException {
        if (!third) {
            return List.of(ConfigReading.rotary(c, headDim, context));
        }
        ModelConfig parameters = c.object("rope_parameters");
        if (parameters.has("full_attention")) {
            ModelConfig global = parameters.object("full_attention");
            ModelConfig local = parameters.object("sliding_attention");
            return List.of(ConfigReading.rotary(global, global.number("rope_theta"), headDim, context, c),
                    ConfigReading.rotary(local, local.number("rope_theta"), headDim, context, c));
        }
        return List.of(ConfigReading.rotary(c.object("rope_scaling"), c.number("rope_theta", 1_000_000), headDim, context, c),
                new RotarySpec(RotarySpec.frequencies(c.number("rope_local_base_freq", 10_000), headDim), 1, false));
    }

    @Override
    public Layout layout(ArchitectureSpec spec) {
        String layer = "model.layers.%d.";
        return Layout.builder()
                .put(Module.EMBED, "model.embed_tokens")
                .put(Module.ATTENTION_NORM, layer + "input_layernorm")
                .put(Module.Q, layer + "self_attn.q_proj")
                .put(Module.K, layer + "self_attn.k_proj")
                .put(Module.V, layer + "self_attn.v_proj")
                .put(Module.O, layer + "self_attn.o_proj")
                .put(Module.Q_NORM, layer + "self_attn.q_norm")
                .put(Module.K_NORM, layer + "self_attn.k_norm")
                .put(Module.POST_ATTENTION_NORM, layer + "post_attention_layernorm")
                .put(Module.MLP_NORM, layer + "pre_feedforward_layernorm")
                .put(Module.GATE, layer + "mlp.gate_proj")
                .put(Module.UP, layer + "mlp.up_proj")
                .put(Module.DOWN, layer + "mlp.down_proj")
                .put(Module.POST_MLP_NORM, layer + "post_feedforward_layernorm")
                .put(Module.FINAL_NORM, "model.norm")
                .put(Module.HEAD, "lm_head")
                .build();
    }
}
