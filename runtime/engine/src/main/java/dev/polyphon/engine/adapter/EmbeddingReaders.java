package dev.polyphon.engine.adapter;

import com.fasterxml.jackson.databind.JsonNode;
import dev.polyphon.engine.adapter.AdapterBuilder.Target;
import dev.polyphon.engine.model.Form;
import dev.polyphon.engine.model.Module;
import java.io.IOException;
import java.util.HashMap;
import java.util.Map;

/** Rows of the embedding that were trained by themselves. */
final class EmbeddingReaders {
    private EmbeddingReaders() {}

    /** PEFT's trainable tokens: some rows of the embedding replaced. */
    static void trainableTokens(AdapterOptions options, AdapterTensors tensors, String task, AdapterBuilder out) throws IOException {
        options.understand("token_indices");
        tokenRows(tensors, options.json("token_indices"), ".trainable_tokens_delta", out);
    }

    /**
     * @param indices token ids in the order of the rows, or such lists by module name
     * @param ending of the tensors that hold the rows
     */
    static void tokenRows(AdapterTensors tensors, JsonNode indices, String ending, AdapterBuilder out) throws AdapterFault {
        for (String path : tensors.modules(ending)) {
            Target target = out.target(path, path + ending);
            if (target.module() != Module.EMBED) {
                throw new AdapterFault("tensor " + path + ending + " does not belong to the embedding");
            }
            if (out.spec().tied()) {
                throw new AdapterFault("trained token rows on a base whose head is its embedding are not supported");
            }
            JsonNode list = indices.isArray() ? indices : indices.path(path.substring(path.lastIndexOf('.') + 1));
            Map<Integer, Integer> places = new HashMap<>();
            for (int i = 0; i < list.size(); i++) {
                int token = list.get(i).asInt(-1);
                if (token < 0 || token >= out.spec().vocabulary()) {
                    throw new AdapterFault("token index " + list.get(i) + " is outside the vocabulary of " + out.spec().vocabulary());
                }
                places.put(token, i);
            }
            target.form(new Form.EmbeddingRows(out.table(tensors.matrix(path + ending, list.size(), out.spec().hidden())), places));
        }
    }
}
