package dev.polyphon.engine.adapter;

import com.fasterxml.jackson.databind.JsonNode;
import dev.polyphon.engine.adapter.AdapterBuilder.Target;
import dev.polyphon.engine.model.Form;
import dev.polyphon.engine.model.Module;
import java.io.IOException;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Rows of the embedding and the head that were trained by themselves. */
final class EmbeddingReaders {
    private EmbeddingReaders() {}

    /** PEFT's trainable tokens: some rows replaced. */
    static void trainableTokens(AdapterOptions options, AdapterTensors tensors, String task, AdapterBuilder out) throws IOException {
        options.understand("token_indices");
        tokenRows(tensors, options.json("token_indices"), ".trainable_tokens_delta", out);
    }

    /**
     * PEFT ties a head that is the embedding to it: its rows become the same. Logits are the head's changed rows times the hidden state, a low-rank delta
     * whose A has the changes and whose B puts each in its token's place.
     *
     * @param indices token ids in the order of the rows, or such lists by module name
     * @param ending of the tensors that hold the rows
     */
    static void tokenRows(AdapterTensors tensors, JsonNode indices, String ending, AdapterBuilder out) throws AdapterFault {
        Set<String> paths = tensors.modules(ending);
        boolean headHasOwn = paths.stream().anyMatch(path -> out.of(Module.HEAD, path + ending));
        for (String path : paths) {
            Target target = out.target(path, path + ending);
            int[] tokens = tokens(indices.isArray() ? indices : indices.path(path.substring(path.lastIndexOf('.') + 1)), out.spec().vocabulary());
            Matrix rows = tensors.matrix(path + ending, tokens.length, out.spec().hidden());
            if (target.module() == Module.EMBED) {
                target.form(new Form.EmbeddingRows(out.table(rows), places(tokens)));
                if (out.spec().tied() && !headHasOwn) {
                    head(out.target(out.path(-1, Module.HEAD), path + ending), tokens, rows, tensors, out);
                }
            } else if (target.module() == Module.HEAD) {
                head(target, tokens, rows, tensors, out);
            } else {
                throw new AdapterFault("tensor " + path + ending + " belongs neither to the embedding nor to the head");
            }
        }
    }

    private static int[] tokens(JsonNode list, int vocabulary) throws AdapterFault {
        int[] tokens = new int[list.size()];
        for (int i = 0; i < tokens.length; i++) {
            tokens[i] = list.get(i).asInt(-1);
            if (tokens[i] < 0 || tokens[i] >= vocabulary) {
                throw new AdapterFault("token index " + list.get(i) + " is outside the vocabulary of " + vocabulary);
            }
        }
        return tokens;
    }

    private static Map<Integer, Integer> places(int[] tokens) {
        Map<Integer, Integer> places = new HashMap<>();
        for (int i = 0; i < tokens.length; i++) {
            places.put(tokens[i], i);
        }
        return places;
    }

    private static void head(Target target, int[] tokens, Matrix rows, AdapterTensors tensors, AdapterBuilder out) throws AdapterFault {
        for (String ending : List.of(".weight", ".lora_A.weight", ".lora_A.default.weight")) {
            if (tensors.names().contains(target.path() + ending)) {
                throw new AdapterFault("trained token rows of a head that has tensor " + target.path() + ending + " too are not supported");
            }
        }
        Map<Integer, Integer> places = places(tokens);
        target.lowRank(rows.plus(out.headRows(tokens).times(-1)),
                Matrix.of(out.spec().vocabulary(), tokens.length, (token, row) -> places.getOrDefault(token, -1) == row ? 1 : 0));
    }
}
