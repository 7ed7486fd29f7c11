package dev.polyphon.engine.model;

import dev.polyphon.engine.backend.NormKind;
import dev.polyphon.engine.model.ArchitectureSpec.Block;
import dev.polyphon.engine.model.ArchitectureSpec.LayerSpec;
import dev.polyphon.engine.weights.MalformedFileException;
import java.util.Collections;
import java.util.List;

/** OPT: learned positions with two rows to spare before position 0, a plain ReLU MLP. */
final class OptFamily implements Family {
    private static final int FIRST_POSITION = 2;
    private static final float EPSILON = 1e-5f;

    @Override
    public boolean covers(String modelType) {
        return modelType.equals("opt");
    }

    @Override
    public ArchitectureSpec spec(ModelConfig c) throws MalformedFileException {
        int hidden = c.integer("hidden_size");
        if (!c.bool("do_layer_norm_before", true) || c.bool("_remove_final_layer_norm", false)) {
            throw c.error("norms after each block are not supported");
        }
        if (c.integer("word_embed_proj_dim", hidden) != hidden) {
            throw c.error("word_embed_proj_dim other than hidden_size is not supported");
        }
        int heads = c.integer("num_attention_heads");
        int headDim = hidden / heads;
        return new ArchitectureSpec("opt", hidden, c.integer("ffn_dim"), c.integer("vocab_size"), c.integer("max_position_embeddings"), heads, heads,
                headDim, (float) (1 / Math.sqrt(headDim)), 0, 0, Collections.nCopies(c.integer("num_hidden_layers"), new LayerSpec(0, -1)), List.of(),
                false, FIRST_POSITION, NormKind.LAYER, EPSILON, 0, Block.SEQUENTIAL, ConfigReading.activation(c, "activation_function", "relu"),
                false, 1, c.bool("tie_word_embeddings", true));
    }

    @Override
    public Layout layout(ArchitectureSpec spec) {
        String layer = "model.decoder.layers.%d.";
        return Layout.builder()
                .put(Module.EMBED, "model.decoder.embed_tokens")
                .put(Module.POSITIONS, "model.decoder.embed_positions")
                .put(Module.ATTENTION_NORM, layer + "self_attn_layer_norm")
                .put(Module.Q, layer + "self_attn.q_proj")
                .put(Module.K, layer + "self_attn.k_proj")
                .put(Module.V, layer + "self_attn.v_proj")
                .put(Module.O, layer + "self_attn.out_proj")
                .put(Module.MLP_NORM, layer + "final_layer_norm")
                .put(Module.UP, layer + "fc1")
                .put(Module.DOWN, layer + "fc2")
                .put(Module.FINAL_NORM, "model.decoder.final_layer_norm")
                .put(Module.HEAD, "lm_head")
                .build();
    }
}
