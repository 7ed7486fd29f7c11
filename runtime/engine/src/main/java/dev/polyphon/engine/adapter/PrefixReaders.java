package dev.polyphon.engine.adapter;

import dev.polyphon.engine.backend.Tensor;
import dev.polyphon.engine.model.AdapterWeights.Prefix;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;

/** Adapters that put something before the first token. */
final class PrefixReaders {
    private static final int MOST_VIRTUAL_TOKENS = 1 << 16;

    private PrefixReaders() {}

    /** Prompt tuning (Lester et al. 2021) and p-tuning (Liu et al. 2021): virtual tokens' embeddings, as the trained encoder gave them. */
    static void prompt(AdapterOptions options, AdapterTensors tensors, String task, AdapterBuilder out) throws IOException {
        options.understand("num_virtual_tokens", "token_dim", "num_transformer_submodules", "num_attention_heads", "num_layers", "prompt_tuning_init",
                "prompt_tuning_init_text", "prompt_tuning_init_state_dict_path", "tokenizer_name_or_path", "tokenizer_kwargs",
                "encoder_reparameterization_type", "encoder_hidden_size", "encoder_num_layers", "encoder_dropout");
        out.prefix(new Prefix.Embeddings(out.tensor(tensors.matrix("prompt_embeddings", length(options), out.spec().hidden()))));
    }

    /** Prefix tuning (Li and Liang 2021): keys and values of every layer; a projection was already applied when it was saved. */
    static void prefix(AdapterOptions options, AdapterTensors tensors, String task, AdapterBuilder out) throws IOException {
        options.understand("num_virtual_tokens", "token_dim", "num_transformer_submodules", "num_attention_heads", "num_layers", "encoder_hidden_size",
                "prefix_projection", "init_weights");
        int layers = out.spec().layers().size();
        int width = out.spec().kvWidth();
        int length = length(options);
        Matrix all = tensors.matrix("prompt_embeddings", length, layers * 2 * width);
        List<Tensor> keys = new ArrayList<>();
        List<Tensor> values = new ArrayList<>();
        for (int i = 0; i < layers; i++) {
            int first = 2 * i * width;
            keys.add(out.tensor(Matrix.of(length, width, (r, c) -> all.at(r, first + c))));
            values.add(out.tensor(Matrix.of(length, width, (r, c) -> all.at(r, first + width + c))));
        }
        out.prefix(new Prefix.KeysValues(keys, values));
    }

    private static int length(AdapterOptions options) throws IOException {
        return length(options, "num_virtual_tokens");
    }

    static int length(AdapterOptions options, String key) throws IOException {
        int length = options.integer(key);
        if (length < 1 || length > MOST_VIRTUAL_TOKENS) {
            throw new AdapterFault(key + " must be 1 to " + MOST_VIRTUAL_TOKENS + ", found " + length);
        }
        return length;
    }
}
