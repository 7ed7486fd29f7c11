package dev.polyphon.engine.model;

import dev.polyphon.engine.backend.Activation;
import dev.polyphon.engine.backend.NormKind;
import dev.polyphon.engine.model.ArchitectureSpec.Block;
import dev.polyphon.engine.model.ArchitectureSpec.LayerSpec;
import dev.polyphon.engine.weights.MalformedFileException;
import java.util.Collections;
import java.util.List;

/** BLOOM: ALiBi instead of positions, a norm after the embedding, query, key and value of each head fused. */
final class BloomFamily implements Family {
    /** ALiBi has no limit of its own, and the configuration names none: this is what the models were trained with. */
    private static final int TRAINED_CONTEXT = 2048;

    @Override
    public boolean covers(String modelType) {
        return modelType.equals("bloom");
    }

    @Override
    public ArchitectureSpec spec(ModelConfig c) throws MalformedFileException {
        if (c.bool("apply_residual_connection_post_layernorm", false)) {
            throw c.error("apply_residual_connection_post_layernorm is not supported");
        }
        int hidden = c.integer("hidden_size");
        int heads = c.integer("n_head");
        int headDim = hidden / heads;
        return new ArchitectureSpec("bloom", hidden, 4 * hidden, c.integer("vocab_size"), c.integer("seq_length", TRAINED_CONTEXT), heads, heads,
                headDim, (float) (1 / Math.sqrt(headDim)), 0, 0, Collections.nCopies(c.integer("n_layer"), new LayerSpec(0, -1)), List.of(), true, -1,
                NormKind.LAYER, (float) c.number("layer_norm_epsilon"), 0, Block.SEQUENTIAL, Activation.GELU_TANH, false, 1,
                c.bool("tie_word_embeddings", true));
    }

    @Override
    public Layout layout(ArchitectureSpec spec) {
        String layer = "transformer.h.%d.";
        String fused = layer + "self_attention.query_key_value";
        return Layout.builder()
                .put(Module.EMBED, "transformer.word_embeddings")
                .put(Module.EMBED_NORM, "transformer.word_embeddings_layernorm")
                .put(Module.ATTENTION_NORM, layer + "input_layernorm")
                .put(Module.Q, fused, FusedRows.perHead(spec, 0), false)
                .put(Module.K, fused, FusedRows.perHead(spec, 1), false)
                .put(Module.V, fused, FusedRows.perHead(spec, 2), false)
                .put(Module.O, layer + "self_attention.dense")
                .put(Module.MLP_NORM, layer + "post_attention_layernorm")
                .put(Module.UP, layer + "mlp.dense_h_to_4h")
                .put(Module.DOWN, layer + "mlp.dense_4h_to_h")
                .put(Module.FINAL_NORM, "transformer.ln_f")
                .put(Module.HEAD, "lm_head")
                .build();
    }
}
