package dev.polyphon.engine.adapter;

import dev.polyphon.engine.adapter.AdapterBuilder.Target;
import dev.polyphon.engine.backend.Activation;
import dev.polyphon.engine.model.Form;
import dev.polyphon.engine.model.Form.Bottleneck.Place;
import dev.polyphon.engine.model.Layout;
import dev.polyphon.engine.model.Module;
import java.io.IOException;

/** Small networks beside or after the base's layers. */
final class BottleneckReaders {
    private BottleneckReaders() {}

    static Activation activation(String name) throws AdapterFault {
        return switch (name) {
            case "relu" -> Activation.RELU;
            case "tanh" -> Activation.TANH;
            case "gelu" -> Activation.GELU;
            case "gelu_new" -> Activation.GELU_TANH;
            case "silu", "swish" -> Activation.SILU;
            case "linear", "identity" -> null;
            default -> throw new AdapterFault("non_linearity " + name + " is not supported");
        };
    }

    /** LLM-Adapters' series and parallel adapters (Hu et al. 2023), possibly stored in 8 bits or one. */
    static void bottleneck(AdapterOptions options, AdapterTensors tensors, String task, AdapterBuilder out) throws IOException {
        options.understand("bottleneck_size", "non_linearity", "adapter_dropout", "scaling", "use_parallel_adapter", "use_adapterp", "bias",
                "quantization");
        options.only("bias");
        options.only("use_adapterp");
        int bits = PackedTensors.bits(options);
        Activation f = activation(options.string("non_linearity", "tanh"));
        boolean learned = options.json("scaling").asText().equals("learned");
        boolean parallel = options.bool("use_parallel_adapter");
        int size = options.integer("bottleneck_size");
        for (String path : tensors.modules(".adapter_down" + PackedTensors.ending(bits))) {
            Target target = out.linear(path, path + ".adapter_down.weight");
            Place place = parallel ? Place.BESIDE : target.module() == Module.DOWN ? Place.AFTER : Place.BEFORE;
            int in = place == Place.AFTER ? target.out() : target.in();
            int to = place == Place.BEFORE ? target.in() : target.out();
            Matrix down = PackedTensors.matrix(tensors, path + ".adapter_down", bits, size, in);
            Matrix up = PackedTensors.matrix(tensors, path + ".adapter_up", bits, to, size);
            float scale = learned ? tensors.vector(path + ".adapter_scaling", 1)[0] : (float) options.number("scaling", 1);
            for (Layout.Part part : target.sites()) {
                Matrix rows = place == Place.BESIDE ? up.rows(part.rows()) : up;
                out.add(part.site(), new Form.Bottleneck(place, null, null, out.weight(down), null, f, out.weight(rows), null, scale));
            }
        }
    }

    /** AdapterBias (Fu et al. 2022): y += (a·x + c) v, which is of rank 1 and a shift. */
    static void adapterBias(AdapterOptions options, AdapterTensors tensors, String task, AdapterBuilder out) throws IOException {
        options.understand("share_alpha");
        boolean shared = options.bool("share_alpha");
        for (String path : tensors.modules(".adapter_vector")) {
            Target target = out.linear(path, path + ".adapter_vector");
            String alpha = shared ? "adapter_alpha" : path + ".adapter_alpha";
            float[] a = tensors.vector(alpha + ".weight", target.in());
            float c = tensors.vector(alpha + ".bias", 1)[0];
            float[] v = tensors.vector(path + ".adapter_vector", target.out());
            target.lowRank(new Matrix(1, a.length, a), new Matrix(v.length, 1, v));
            float[] shift = v.clone();
            for (int i = 0; i < shift.length; i++) {
                shift[i] *= c;
            }
            target.scaleShift(null, shift);
        }
    }

    /** Hydra (Kim et al. 2023): a linear branch beside the module and one after it. */
    static void hydra(AdapterOptions options, AdapterTensors tensors, String task, AdapterBuilder out) throws IOException {
        options.understand("parallel_rank", "sequential_rank", "scale");
        float scale = (float) options.number("scale", 1);
        for (String path : tensors.modules(".adapter_par.down_proj.weight")) {
            Target target = out.linear(path, path + ".adapter_par.down_proj.weight");
            int r = options.integer("parallel_rank");
            Matrix down = tensors.matrix(path + ".adapter_par.down_proj.weight", r, target.in());
            Matrix up = tensors.matrix(path + ".adapter_par.up_proj.weight", target.out(), r);
            Matrix downBias = new Matrix(r, 1, tensors.vector(path + ".adapter_par.down_proj.bias", r));
            Matrix upBias = new Matrix(target.out(), 1, tensors.vector(path + ".adapter_par.up_proj.bias", target.out()));
            target.lowRank(down, up.times(scale));
            target.scaleShift(null, up.times(downBias).plus(upBias).times(scale).data());
        }
        for (String path : tensors.modules(".adapter_seq.down_proj.weight")) {
            Target target = out.linear(path, path + ".adapter_seq.down_proj.weight");
            if (target.sites().size() > 1) {
                throw new AdapterFault("a sequential branch at the fused module " + path + " is not supported");
            }
            int r = options.integer("sequential_rank");
            target.form(new Form.Bottleneck(Place.AFTER, null, null,
                    out.weight(tensors.matrix(path + ".adapter_seq.down_proj.weight", r, target.out())),
                    out.vector(tensors.vector(path + ".adapter_seq.down_proj.bias", r)), null,
                    out.weight(tensors.matrix(path + ".adapter_seq.up_proj.weight", target.out(), r)),
                    out.vector(tensors.vector(path + ".adapter_seq.up_proj.bias", target.out())), scale));
        }
    }
}
