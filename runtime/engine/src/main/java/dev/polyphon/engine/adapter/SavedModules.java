package dev.polyphon.engine.adapter;

import dev.polyphon.engine.adapter.AdapterBuilder.Target;
import dev.polyphon.engine.backend.Tensor;
import dev.polyphon.engine.model.Form;
import dev.polyphon.engine.model.Layout;
import dev.polyphon.engine.model.Module;
import java.util.Arrays;
import java.util.List;

/** Whole modules saved beside an adapter ({@code modules_to_save}): norms, the embedding, the head, or any linear layer. */
final class SavedModules {
    private static final List<Module> TIED = List.of(Module.EMBED, Module.HEAD);

    private SavedModules() {}

    /**
     * @param names endings of module paths
     * @param tied whether embedding and head are both saved where one of them is named
     */
    static void read(AdapterTensors tensors, List<String> names, boolean tied, AdapterBuilder out) throws AdapterFault {
        List<String> ends = TIED.stream().flatMap(module -> out.base().layout().place(module).stream()).map(Layout.Place::path).toList();
        boolean both = tied && ends.stream().anyMatch(end -> names.stream().anyMatch(end::endsWith));
        for (String path : tensors.modules(".weight")) {
            boolean saved = names.stream().anyMatch(path::endsWith) || both && ends.contains(path);
            if (!saved || path.endsWith(".base_layer") || path.endsWith(".lora_A") || path.endsWith(".lora_B")) {
                continue;
            }
            Target target = out.target(path, path + ".weight");
            if (target.module().norm()) {
                norm(target, tensors, path, path, out);
            } else if (target.module() == Module.POSITIONS) {
                throw new AdapterFault("tensor " + path + ".weight: position embeddings of an adapter's own are not supported");
            } else if (target.module() == Module.EMBED) {
                target.form(new Form.EmbeddingReplacement(out.table(tensors.matrix(path + ".weight", out.spec().vocabulary(), out.spec().hidden()))));
            } else {
                linear(target, tensors, path, out);
            }
        }
    }

    /** @param prefix of the tensors {@code .weight} and {@code .bias} */
    static void norm(Target target, AdapterTensors tensors, String path, String prefix, AdapterBuilder out) throws AdapterFault {
        int width = target.module() == Module.Q_NORM || target.module() == Module.K_NORM ? out.spec().headDim() : out.spec().hidden();
        float[] weight = tensors.vector(prefix + ".weight", width);
        for (int i = 0; i < width; i++) {
            weight[i] += out.spec().normOffset();
        }
        Tensor bias = tensors.names().contains(prefix + ".bias") ? out.vector(tensors.vector(prefix + ".bias", width)) : null;
        target.form(new Form.NormReplacement(out.vector(weight), bias));
    }

    /** A norm of which the bias alone was trained. @param name the tensor's */
    static void normBias(Target target, AdapterTensors tensors, String name, AdapterBuilder out) throws AdapterFault {
        float[] before = out.baseBias(target.sites().getFirst().site());
        if (before == null) {
            throw new AdapterFault("tensor " + name + " is a bias, and this base's " + target.path() + " has none");
        }
        float[] bias = tensors.vector(name, before.length);
        if (!Arrays.equals(bias, before)) {
            target.form(new Form.NormReplacement(out.vector(out.normWeight(target.sites().getFirst().site())), out.vector(bias)));
        }
    }

    private static void linear(Target target, AdapterTensors tensors, String path, AdapterBuilder out) throws AdapterFault {
        boolean transposed = out.transposed(target.sites().getFirst().site());
        Matrix weight = transposed ? tensors.matrix(path + ".weight", target.in(), target.out()).transposed()
                : tensors.matrix(path + ".weight", target.out(), target.in());
        float[] bias = tensors.names().contains(path + ".bias") ? tensors.vector(path + ".bias", target.out()) : null;
        for (Layout.Part part : target.sites()) {
            out.add(part.site(), new Form.Replacement(out.weight(weight.rows(part.rows())),
                    bias == null ? null : out.vector(AdapterBuilder.select(bias, part))));
        }
    }
}
