package dev.polyphon.engine.adapter;

import com.fasterxml.jackson.databind.JsonNode;
import dev.polyphon.engine.adapter.AdapterBuilder.Target;
import dev.polyphon.engine.model.Form;
import dev.polyphon.engine.model.Layout;
import java.util.Arrays;

/** The base's biases as training left them, which adapters of many kinds save: {@code bias} is {@code all}, or {@code lora_only} and its like. */
final class SavedBiases {
    private SavedBiases() {}

    /** Whether the modules' biases were trained that have a change of their own. @throws AdapterFault for a value that PEFT does not have */
    static boolean ofAdapted(AdapterOptions options) throws AdapterFault {
        JsonNode bias = options.json("bias");
        if (!AdapterOptions.isSet(bias) || bias.asText().equals("all")) {
            return false;
        }
        if (!bias.asText().matches("\\w+_only")) {
            throw new AdapterFault("option bias = " + bias + " is not supported");
        }
        return true;
    }

    /** Takes what the kind's reader, which knows its own biases, has left. */
    static void read(AdapterTensors tensors, AdapterBuilder out) throws AdapterFault {
        for (String name : tensors.left(".bias")) {
            String path = name.substring(0, name.length() - ".bias".length()).replaceFirst("\\.base_layer$", "");
            if (out.module(path).isEmpty()) {
                continue;
            }
            Target target = out.target(path, name);
            if (target.module().norm()) {
                SavedModules.normBias(target, tensors, name, out);
                continue;
            }
            float[] bias = tensors.vector(name, target.out());
            for (Layout.Part part : target.sites()) {
                float[] shift = AdapterBuilder.select(bias, part);
                float[] before = out.baseBias(part.site());
                if (before != null) {
                    shift = shift.clone();
                    for (int i = 0; i < shift.length; i++) {
                        shift[i] -= before[i];
                    }
                }
                if (!Arrays.equals(shift, new float[shift.length])) {
                    out.add(part.site(), new Form.ScaleShift(null, out.vector(shift)));
                }
            }
        }
    }
}
