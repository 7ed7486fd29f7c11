package dev.polyphon.engine.model;

import dev.polyphon.engine.backend.NormKind;
import dev.polyphon.engine.model.ArchitectureSpec.Block;
import dev.polyphon.engine.model.ArchitectureSpec.LayerSpec;
import dev.polyphon.engine.weights.MalformedFileException;
import java.util.Collections;
import java.util.List;

/** StarCoder2: grouped queries and a sliding window as in Mistral, layer norms, biases and a plain MLP as in GPT-2. */
final class StarCoder2Family implements Family {

    @Override
    public boolean covers(String modelType) {
        return modelType.equals("starcoder2");
    }

    @Override
    public ArchitectureSpec spec(ModelConfig c) throws MalformedFileException {
        int hidden = c.integer("hidden_size");
        int heads = c.integer("num_attention_heads");
        int headDim = hidden / heads;
        int context = c.integer("max_position_embeddings");
        return new ArchitectureSpec("starcoder2", hidden, c.integer("intermediate_size"), c.integer("vocab_size"), context, heads,
                c.integer("num_key_value_heads", heads), headDim, (float) (1 / Math.sqrt(headDim)), 0, 0,
                Collections.nCopies(c.integer("num_hidden_layers"), new LayerSpec(c.integer("sliding_window", 0), 0)),
                List.of(ConfigReading.rotary(c, headDim, context)), false, -1, NormKind.LAYER, (float) c.number("norm_epsilon", 1e-5), 0,
                Block.SEQUENTIAL, ConfigReading.activation(c, "hidden_act", "gelu_pytorch_tanh"), false, 1, c.bool("tie_word_embeddings", true));
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
                .put(Module.MLP_NORM, layer + "post_attention_layernorm")
                .put(Module.UP, layer + "mlp.c_fc")
                .put(Module.DOWN, layer + "mlp.c_proj")
                .put(Module.FINAL_NORM, "model.norm")
                .put(Module.HEAD, "lm_head")
                .build();
    }
}
