package dev.polyphon.engine.model;

import dev.polyphon.engine.backend.NormKind;
import dev.polyphon.engine.model.ArchitectureSpec.Block;
import dev.polyphon.engine.model.ArchitectureSpec.LayerSpec;
import dev.polyphon.engine.weights.MalformedFileException;
import java.util.Collections;
import java.util.List;

/** GPT-2: learned positions, matrices stored [in, out], query, key and value fused one after the other. */
final class Gpt2Family implements Family {

    @Override
    public boolean covers(String modelType) {
        return modelType.equals("gpt2");
    }

    @Override
    public ArchitectureSpec spec(ModelConfig c) throws MalformedFileException {
        if (c.bool("scale_attn_by_inverse_layer_idx", false) || !c.bool("scale_attn_weights", true)) {
            throw c.error("attention scaling other than by the head's width is not supported");
        }
        int hidden = c.integer("n_embd");
        int heads = c.integer("n_head");
        int headDim = hidden / heads;
        return new ArchitectureSpec("gpt2", hidden, c.integer("n_inner", 4 * hidden), c.integer("vocab_size"), c.integer("n_positions"), heads, heads,
                headDim, (float) (1 / Math.sqrt(headDim)), 0, 0, Collections.nCopies(c.integer("n_layer"), new LayerSpec(0, -1)), List.of(), false, 0,
                NormKind.LAYER, (float) c.number("layer_norm_epsilon"), 0, Block.SEQUENTIAL,
                ConfigReading.activation(c, "activation_function", "gelu_new"), false, 1, c.bool("tie_word_embeddings", true));
    }

    @Override
    public Layout layout(ArchitectureSpec spec) {
        String layer = "transformer.h.%d.";
        int width = spec.queryWidth();
        return Layout.builder()
                .put(Module.EMBED, "transformer.wte")
                .put(Module.POSITIONS, "transformer.wpe")
                .put(Module.ATTENTION_NORM, layer + "ln_1")
                .put(Module.Q, layer + "attn.c_attn", FusedRows.range(0, width), true)
                .put(Module.K, layer + "attn.c_attn", FusedRows.range(width, width), true)
                .put(Module.V, layer + "attn.c_attn", FusedRows.range(2 * width, width), true)
                .put(Module.O, layer + "attn.c_proj", null, true)
                .put(Module.MLP_NORM, layer + "ln_2")
                .put(Module.UP, layer + "mlp.c_fc", null, true)
                .put(Module.DOWN, layer + "mlp.c_proj", null, true)
                .put(Module.FINAL_NORM, "transformer.ln_f")
                .put(Module.HEAD, "lm_head")
                .build();
    }
}
