package dev.polyphon.engine.model;

import dev.polyphon.engine.backend.NormKind;
import dev.polyphon.engine.model.ArchitectureSpec.Block;
import dev.polyphon.engine.model.ArchitectureSpec.LayerSpec;
import dev.polyphon.engine.weights.MalformedFileException;
import java.util.Collections;
import java.util.List;

/** GPT-NeoX and Pythia: rotary embedding on part of each head, attention and MLP side by side with a norm each. */
final class GptNeoXFamily implements Family {

    @Override
    public boolean covers(String modelType) {
        return modelType.equals("gpt_neox");
    }

    @Override
    public ArchitectureSpec spec(ModelConfig c) throws MalformedFileException {
        int hidden = c.integer("hidden_size");
        int heads = c.integer("num_attention_heads");
        int headDim = hidden / heads;
        int context = c.integer("max_position_embeddings");
        double part = c.object("rope_parameters").number("partial_rotary_factor", c.number("rotary_pct", 0.25));
        double theta = c.object("rope_parameters").number("rope_theta", c.number("rotary_emb_base", 10000));
        RotarySpec rotary = ConfigReading.rotary(c.object("rope_parameters"), theta, (int) Math.round(headDim * part), context, c);
        return new ArchitectureSpec("gpt_neox", hidden, c.integer("intermediate_size"), c.integer("vocab_size"), context, heads, heads, headDim,
                (float) (1 / Math.sqrt(headDim)), 0, 0, Collections.nCopies(c.integer("num_hidden_layers"), new LayerSpec(0, 0)), List.of(rotary),
                false, -1, NormKind.LAYER, (float) c.number("layer_norm_eps"), 0,
                c.bool("use_parallel_residual", true) ? Block.PARALLEL : Block.SEQUENTIAL, ConfigReading.activation(c, "hidden_act", "gelu"), false,
                1, c.bool("tie_word_embeddings", false));
    }

    @Override
    public Layout layout(ArchitectureSpec spec) {
        String layer = "gpt_neox.layers.%d.";
        String fused = layer + "attention.query_key_value";
        return Layout.builder()
                .put(Module.EMBED, "gpt_neox.embed_in")
                .put(Module.ATTENTION_NORM, layer + "input_layernorm")
                .put(Module.Q, fused, FusedRows.perHead(spec, 0), false)
                .put(Module.K, fused, FusedRows.perHead(spec, 1), false)
                .put(Module.V, fused, FusedRows.perHead(spec, 2), false)
                .put(Module.O, layer + "attention.dense")
                .put(Module.MLP_NORM, layer + "post_attention_layernorm")
                .put(Module.UP, layer + "mlp.dense_h_to_4h")
                .put(Module.DOWN, layer + "mlp.dense_4h_to_h")
                .put(Module.FINAL_NORM, "gpt_neox.final_layer_norm")
                .put(Module.HEAD, "embed_out")
                .build();
    }
}
