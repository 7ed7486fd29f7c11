package dev.polyphon.engine.model;

import dev.polyphon.engine.backend.NormKind;
import dev.polyphon.engine.model.ArchitectureSpec.Block;
import dev.polyphon.engine.model.ArchitectureSpec.LayerSpec;
import dev.polyphon.engine.weights.MalformedFileException;
import java.util.Collections;
import java.util.List;

/** GPT-J: interleaved rotary embedding on part of each head, attention and MLP side by side after one norm. */
final class GptJFamily implements Family {

    @Override
    public boolean covers(String modelType) {
        return modelType.equals("gptj");
    }

    @Override
    public ArchitectureSpec spec(ModelConfig c) throws MalformedFileException {
        int hidden = c.integer("n_embd");
        int heads = c.integer("n_head");
        int headDim = hidden / heads;
        RotarySpec rotary = new RotarySpec(RotarySpec.frequencies(10000, c.integer("rotary_dim", headDim)), 1, true);
        return new ArchitectureSpec("gptj", hidden, c.integer("n_inner", 4 * hidden), c.integer("vocab_size"), c.integer("n_positions"), heads, heads,
                headDim, (float) (1 / Math.sqrt(headDim)), 0, 0, Collections.nCopies(c.integer("n_layer"), new LayerSpec(0, 0)), List.of(rotary), false,
                -1, NormKind.LAYER, (float) c.number("layer_norm_epsilon"), 0, Block.PARALLEL,
                ConfigReading.activation(c, "activation_function", "gelu_new"), false, 1, c.bool("tie_word_embeddings", false));
    }

    @Override
    public Layout layout(ArchitectureSpec spec) {
        String layer = "transformer.h.%d.";
        return Layout.builder()
                .put(Module.EMBED, "transformer.wte")
                .put(Module.ATTENTION_NORM, layer + "ln_1")
                .put(Module.Q, layer + "attn.q_proj")
                .put(Module.K, layer + "attn.k_proj")
                .put(Module.V, layer + "attn.v_proj")
                .put(Module.O, layer + "attn.out_proj")
                .put(Module.UP, layer + "mlp.fc_in")
                .put(Module.DOWN, layer + "mlp.fc_out")
                .put(Module.FINAL_NORM, "transformer.ln_f")
                .put(Module.HEAD, "lm_head")
                .build();
    }
}
