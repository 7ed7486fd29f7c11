package dev.polyphon.engine.adapter.ops;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polyphon.engine.adapter.Matrix;
import dev.polyphon.engine.backend.Kernels;
import dev.polyphon.engine.backend.Tensor;
import dev.polyphon.engine.model.AdapterWeights.Prefix;
import dev.polyphon.engine.model.ArchitectureSpec;
import java.util.List;

/**
 * What an adapter puts before a sequence as PEFT stores it, however it was computed: keys and values as prefix tuning (Li and Liang 2021), embeddings as prompt
 * tuning (Lester et al. 2021).
 */
public final class PlainPrefix {
    private PlainPrefix() {}

    /** @param kernels those that made the prefix */
    public static SavedAdapter of(Prefix prefix, ArchitectureSpec spec, Kernels kernels) {
        ObjectNode config = JsonNodeFactory.instance.objectNode();
        SavedAdapter saved = new SavedAdapter(config);
        switch (prefix) {
            case Prefix.KeysValues(List<Tensor> keys, List<Tensor> values) -> {
                config.put("peft_type", "PREFIX_TUNING").put("prefix_projection", false).put("num_attention_heads", spec.kvHeads()).put("token_dim", spec.kvWidth());
                Matrix all = null;
                for (int layer = 0; layer < keys.size(); layer++) {
                    Matrix both = matrix(keys.get(layer), kernels).beside(matrix(values.get(layer), kernels));
                    all = all == null ? both : all.beside(both);
                }
                saved.put("prompt_embeddings", all);
            }
            case Prefix.Embeddings(Tensor rows) -> {
                config.put("peft_type", "PROMPT_TUNING").put("num_attention_heads", spec.heads()).put("token_dim", spec.hidden());
                saved.put("prompt_embeddings", matrix(rows, kernels));
            }
        }
        config.put("task_type", "CAUSAL_LM").put("inference_mode", true).put("num_virtual_tokens", prefix.length()).put("num_layers", spec.layers().size())
                .put("num_transformer_submodules", 1);
        return saved;
    }

    private static Matrix matrix(Tensor tensor, Kernels kernels) {
        float[] values = new float[tensor.rows() * tensor.columns()];
        kernels.read(tensor, 0, tensor.rows(), values);
        return new Matrix(tensor.rows(), tensor.columns(), values);
    }
}
