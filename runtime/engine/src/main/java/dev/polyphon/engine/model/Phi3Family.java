package dev.polyphon.engine.model;

import dev.polyphon.engine.backend.NormKind;
import dev.polyphon.engine.model.ArchitectureSpec.Block;
import dev.polyphon.engine.model.ArchitectureSpec.LayerSpec;
import dev.polyphon.engine.weights.MalformedFileException;
import java.util.Collections;
import java.util.List;

/** Phi-3: LLaMA's computation with query, key and value, and gate and up, each in one matrix. */
final class Phi3Family implements Family {

    @Override
    public boolean covers(String modelType) {
        return modelType.equals("phi3");
    }

    @Override
    public ArchitectureSpec spec(ModelConfig c) throws MalformedFileException {
        int hidden = c.integer("hidden_size");
        int heads = c.integer("num_attention_heads");
        int headDim = hidden / heads;
        int context = c.integer("max_position_embeddings");
        double part = c.object("rope_parameters").number("partial_rotary_factor", c.number("partial_rotary_factor", 1));
        RotarySpec rotary = ConfigReading.rotary(c, (int) Math.round(headDim * part), context);
        return new ArchitectureSpec("phi3", hidden, c.integer("intermediate_size"), c.integer("vocab_size"), context, heads,
                c.integer("num_key_value_heads", heads), headDim, (float) (1 / Math.sqrt(headDim)), 0, 0,
                Collections.nCopies(c.integer("num_hidden_layers"), new LayerSpec(c.integer("sliding_window", 0), 0)), List.of(rotary), false, -1,
                NormKind.RMS, (float) c.number("rms_norm_eps"), 0, Block.SEQUENTIAL, ConfigReading.activation(c, "hidden_act", "silu"), true, 1,
                c.bool("tie_word_embeddings", false));
    }

    @Override
    public Layout layout(ArchitectureSpec spec) {
        String layer = "model.layers.%d.";
        int q = spec.queryWidth();
        int kv = spec.kvWidth();
        int mlp = spec.intermediate();
        return Layout.builder()
                .put(Module.EMBED, "model.embed_tokens")
                .put(Module.ATTENTION_NORM, layer + "input_layernorm")
                .put(Module.Q, layer + "self_attn.qkv_proj", FusedRows.range(0, q), false)
                .put(Module.K, layer + "self_attn.qkv_proj", FusedRows.range(q, kv), false)
                .put(Module.V, layer + "self_attn.qkv_proj", FusedRows.range(q + kv, kv), false)
                .put(Module.O, layer + "self_attn.o_proj")
                .put(Module.MLP_NORM, layer + "post_attention_layernorm")
                .put(Module.GATE, layer + "mlp.gate_up_proj", FusedRows.range(0, mlp), false)
                .put(Module.UP, layer + "mlp.gate_up_proj", FusedRows.range(mlp, mlp), false)
                .put(Module.DOWN, layer + "mlp.down_proj")
                .put(Module.FINAL_NORM, "model.norm")
                .put(Module.HEAD, "lm_head")
                .build();
    }
}
