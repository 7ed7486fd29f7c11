package dev.polyphon.engine.adapter;

import com.fasterxml.jackson.databind.JsonNode;
import dev.polyphon.engine.adapter.AdapterBuilder.Target;
import dev.polyphon.engine.backend.Activation;
import dev.polyphon.engine.backend.Tensor;
import dev.polyphon.engine.model.AdapterWeights.Prefix;
import dev.polyphon.engine.model.ArchitectureSpec;
import dev.polyphon.engine.model.Form;
import dev.polyphon.engine.model.Form.Bottleneck.Place;
import dev.polyphon.engine.model.Module;
import dev.polyphon.engine.model.RotarySpec;
import dev.polyphon.engine.model.Site;
import java.io.IOException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * AdapterHub's folders, as the library {@code adapters} 1.3.0 writes them: bottlenecks after or beside a block (Houlsby et al. 2019; Pfeiffer et al.
 * 2021; He et al. 2022), Compacter (Karimi Mahabadi et al. 2021), prefix tuning, LoRA, ReFT (Wu et al. 2024), and unions of them (MAM).
 */
final class HubReaders {
    private HubReaders() {}

    static void read(AdapterOptions options, AdapterTensors tensors, String task, AdapterBuilder out) throws IOException {
        JsonNode config = options.json("config");
        String name = options.string("name", "");
        if (!config.path("architecture").asText().equals("union")) {
            part(options.inside(config), name, tensors, out);
            return;
        }
        options.inside(config).understand("architecture", "configs");
        for (JsonNode part : config.path("configs")) {
            part(options.inside(part), name, tensors, out);
        }
    }

    private static void part(AdapterOptions config, String name, AdapterTensors tensors, AdapterBuilder out) throws IOException {
        String architecture = config.string("architecture", "bottleneck");
        switch (architecture) {
            case "bottleneck" -> bottlenecks(config, name, tensors, out);
            case "prefix_tuning" -> prefix(config, name, tensors, out);
            case "lora" -> lora(config, name, tensors, out);
            case "reft" -> reft(config, name, tensors, out);
            default -> throw new AdapterFault("architecture " + architecture + " is not supported");
        }
    }

    private static void bottlenecks(AdapterOptions config, String name, AdapterTensors tensors, AdapterBuilder out) throws IOException {
        config.understand("architecture", "mh_adapter", "output_adapter", "reduction_factor", "non_linearity", "original_ln_before",
                "original_ln_after", "ln_before", "init_weights_seed", "is_parallel", "scaling", "residual_before_ln", "adapter_residual_before_ln",
                "inv_adapter_reduction_factor", "leave_out", "dropout", "phm_layer", "phm_dim", "shared_phm_rule", "factorized_phm_rule",
                "phm_c_init", "phm_init_range", "learn_phm", "hypercomplex_nonlinearity", "phm_rank", "phm_bias", "shared_W_phm", "factorized_phm_W",
                "stochastic_depth");
        Activation f = BottleneckReaders.activation(config.string("non_linearity", "relu"));
        Place place = place(config);
        ArchitectureSpec spec = out.spec();
        if (place != Place.AFTER && (spec.block() != ArchitectureSpec.Block.SEQUENTIAL || out.has(Module.POST_MLP_NORM))) {
            throw new AdapterFault("adapters that read the residual stream are not supported on " + spec.family());
        }
        for (int layer = 0; layer < spec.layers().size(); layer++) {
            for (Module module : List.of(Module.O, Module.DOWN)) {
                String path = out.layerPath(layer) + (module == Module.O ? ".attention_adapters" : ".output_adapters") + ".adapters." + name;
                if (tensors.names().stream().anyMatch(n -> n.startsWith(path + ".adapter_up."))) {
                    out.add(new Site(layer, module), bottleneck(config, place, f, path, name, tensors, out));
                }
            }
        }
    }

    /** Where the block's output y and the residual stream x go: x + y + A(y), x + y + A(x + y), or x + y + A(x). */
    private static Place place(AdapterOptions config) throws IOException {
        if (config.bool("is_parallel")) {
            config.only("original_ln_after", "true");
            return Place.BESIDE_BLOCK;
        }
        boolean before = config.bool("original_ln_before");
        boolean after = config.json("original_ln_after").asBoolean(true);
        String residual = config.json("residual_before_ln").asText("true");
        if (after && residual.equals("true")) {
            return before ? Place.AFTER_BLOCK : Place.AFTER;
        }
        if (before && !after && residual.equals("false")) {
            return Place.AFTER_BLOCK;
        }
        throw new AdapterFault("original_ln_before = " + before + ", original_ln_after = " + after + " and residual_before_ln = " + residual
                + " together are not supported");
    }

    private static Form bottleneck(AdapterOptions config, Place place, Activation f, String path, String name, AdapterTensors tensors,
            AdapterBuilder out) throws IOException {
        int width = out.spec().hidden();
        boolean normed = config.bool("ln_before");
        Tensor normWeight = null;
        Tensor normBias = null;
        if (normed) {
            normWeight = out.vector(tensors.vector(path + ".adapter_norm_before.weight", width));
            normBias = out.vector(tensors.vector(path + ".adapter_norm_before.bias", width));
            // Saved a second time as the first step of the way down.
            tensors.vector(path + ".adapter_down.0.weight", width);
            tensors.vector(path + ".adapter_down.0.bias", width);
        }
        String downPath = path + (normed ? ".adapter_down.1" : ".adapter_down.0");
        String upPath = path + ".adapter_up";
        boolean product = config.bool("phm_layer");
        Matrix down = product ? hypercomplex(config, downPath, "down", name, tensors) : tensors.matrix(downPath + ".weight");
        Matrix up = product ? hypercomplex(config, upPath, "up", name, tensors) : tensors.matrix(upPath + ".weight");
        if (down.columns() != width || up.rows() != width || up.columns() != down.rows()) {
            throw new AdapterFault(path + " is a bottleneck of [" + down.rows() + ", " + down.columns() + "] and [" + up.rows() + ", " + up.columns()
                    + "], this base is " + width + " wide");
        }
        String bias = product ? ".b" : ".bias";
        float[] downBias = tensors.names().contains(downPath + bias) ? tensors.vector(downPath + bias, down.rows()) : null;
        float[] upBias = tensors.names().contains(upPath + bias) ? tensors.vector(upPath + bias, width) : new float[width];
        JsonNode scaling = config.json("scaling");
        float scale = 1;
        if (scaling.isNumber() || scaling.isMissingNode()) {
            scale = (float) scaling.asDouble(1);
        } else if (scaling.asText().equals("learned")) {
            scale = tensors.vector(path + ".scaling", 1)[0];
        } else if (scaling.asText().equals("channel")) {
            float[] factors = tensors.vector(path + ".scaling", width);
            Matrix unscaled = up;
            up = Matrix.of(width, up.columns(), (r, c) -> factors[r] * unscaled.at(r, c));
            for (int i = 0; i < width; i++) {
                upBias[i] *= factors[i];
            }
        } else {
            throw new AdapterFault("scaling = " + scaling + " is not supported");
        }
        return new Form.Bottleneck(place, normWeight, normBias, out.weight(down), downBias == null ? null : out.vector(downBias), f, out.weight(up),
                out.vector(upBias), scale);
    }

    /** A parametrised hypercomplex multiplication (Zhang et al. 2021): [out, in], the transpose of a sum of Kronecker products. */
    private static Matrix hypercomplex(AdapterOptions config, String path, String position, String name, AdapterTensors tensors) throws IOException {
        String shared = shared(tensors, name);
        int n = config.integer("phm_dim", 4);
        Matrix[] rules = matrices(tensors, (config.json("shared_phm_rule").asBoolean(true) ? shared : path + ".") + "phm_rule",
                config.bool("factorized_phm_rule"), n);
        Matrix[] weights = matrices(tensors, config.bool("shared_W_phm") ? shared + "W_" + position : path + ".W",
                config.json("factorized_phm_W").asBoolean(true), n);
        Matrix sum = rules[0].kronecker(weights[0]);
        for (int i = 1; i < n; i++) {
            sum = sum.plus(rules[i].kronecker(weights[i]));
        }
        return sum.transposed();
    }

    /** What the shared parameters' names begin with, which is the model's prefix and the adapter's name. */
    private static String shared(AdapterTensors tensors, String name) {
        String ending = "shared_parameters." + name + ".";
        return tensors.names().stream().filter(n -> n.contains(ending)).findFirst().map(n -> n.substring(0, n.indexOf(ending) + ending.length()))
                .orElse(ending);
    }

    private static Matrix[] matrices(AdapterTensors tensors, String name, boolean factored, int count) throws AdapterFault {
        if (!factored) {
            return stack(tensors, name, count);
        }
        Matrix[] left = stack(tensors, name + "_left", count);
        Matrix[] right = stack(tensors, name + "_right", count);
        if (left[0].columns() != right[0].rows()) {
            throw new AdapterFault("tensors " + name + "_left and " + name + "_right do not fit each other");
        }
        Matrix[] products = new Matrix[count];
        for (int i = 0; i < count; i++) {
            products[i] = left[i].times(right[i]);
        }
        return products;
    }

    private static Matrix[] stack(AdapterTensors tensors, String name, int count) throws AdapterFault {
        int rows = tensors.take(name).rank() == 3 ? tensors.take(name).dim(1) : -1;
        float[] all = tensors.values(name, count, rows, -1);
        Matrix[] matrices = new Matrix[count];
        int size = all.length / count;
        for (int i = 0; i < count; i++) {
            matrices[i] = new Matrix(rows, size / rows, java.util.Arrays.copyOfRange(all, i * size, (i + 1) * size));
        }
        return matrices;
    }

    /**
     * Prefix tuning whose keys stand before position 0, not turned. Here a prefix takes the first positions, so that every query is turned further by its
     * length: the keys are turned by as much, which leaves every product as it was.
     */
    private static void prefix(AdapterOptions config, String name, AdapterTensors tensors, AdapterBuilder out) throws IOException {
        config.understand("architecture", "encoder_prefix", "cross_prefix", "flat", "prefix_length", "bottleneck_size", "non_linearity", "dropout",
                "shared_gating", "init_weights_seed");
        ArchitectureSpec spec = out.spec();
        if (spec.layers().stream().anyMatch(l -> l.rotary() < 0 || l.window() > 0 || spec.rotaries().get(l.rotary()).beyond() != null)) {
            throw new AdapterFault("AdapterHub's prefix tuning needs a base with rotary positions that are the same for every context, and no sliding window");
        }
        int length = PrefixReaders.length(config, "prefix_length");
        int width = spec.kvWidth();
        int values = 2 * spec.layers().size() * width;
        String ending = "prefix_tunings." + name + ".self_prefix.";
        List<String> copies = tensors.names().stream().filter(n -> n.contains(ending)).toList();
        String path = copies.stream().filter(n -> !n.contains(".pool.")).findFirst().map(n -> n.substring(0, n.indexOf(ending) + ending.length()))
                .orElseThrow(() -> new AdapterFault("tensors of " + ending + " are missing"));
        for (String copy : copies) {
            // Every layer names the same tensors again.
            if (copy.contains(".pool.") && tensors.names().contains(path + copy.substring(copy.indexOf(ending) + ending.length()))) {
                tensors.find(copy);
            }
        }
        Matrix all;
        if (config.bool("flat")) {
            all = new Matrix(length, values, tensors.vector(path + "control_trans", length * values));
        } else {
            Matrix embedded = tensors.matrix(path + "wte.weight", length, spec.hidden());
            int inner = config.integer("bottleneck_size");
            Matrix hidden = affine(embedded, tensors.matrix(path + "control_trans.0.weight", inner, spec.hidden()),
                    tensors.vector(path + "control_trans.0.bias", inner));
            config.only("non_linearity", "tanh");
            Matrix active = Matrix.of(length, inner, (r, c) -> Math.tanh(hidden.at(r, c)));
            all = affine(active, tensors.matrix(path + "control_trans.2.weight", values, inner), tensors.vector(path + "control_trans.2.bias", values));
        }
        List<Tensor> keys = new ArrayList<>();
        List<Tensor> sums = new ArrayList<>();
        for (int i = 0; i < spec.layers().size(); i++) {
            int first = 2 * i * width;
            Matrix layer = all;
            Matrix key = Matrix.of(length, width, (r, c) -> layer.at(r, first + c));
            keys.add(out.tensor(turned(key, spec.rotaries().get(spec.layers().get(i).rotary()), spec.headDim(), length)));
            sums.add(out.tensor(Matrix.of(length, width, (r, c) -> layer.at(r, first + width + c))));
        }
        out.prefix(new Prefix.KeysValues(keys, sums));
    }

    private static Matrix affine(Matrix x, Matrix weight, float[] bias) {
        Matrix product = x.times(weight.transposed());
        return Matrix.of(product.rows(), product.columns(), (r, c) -> product.at(r, c) + bias[c]);
    }

    /** All heads of all rows, turned as at a position. */
    private static Matrix turned(Matrix keys, RotarySpec rotary, int headDim, int position) {
        float[] frequencies = rotary.inverseFrequencies();
        int pairs = frequencies.length;
        return Matrix.of(keys.rows(), keys.columns(), (r, c) -> {
            int column = c % headDim;
            if (column >= 2 * pairs) {
                return keys.at(r, c);
            }
            int pair = rotary.interleaved() ? column / 2 : column % pairs;
            boolean second = rotary.interleaved() ? column % 2 == 1 : column >= pairs;
            int distance = rotary.interleaved() ? 1 : pairs;
            double angle = (double) position * frequencies[pair];
            return second
                    ? keys.at(r, c) * Math.cos(angle) + keys.at(r, c - distance) * Math.sin(angle)
                    : keys.at(r, c) * Math.cos(angle) - keys.at(r, c + distance) * Math.sin(angle);
        });
    }

    private static void lora(AdapterOptions config, String name, AdapterTensors tensors, AdapterBuilder out) throws IOException {
        config.understand("architecture", "selfattn_lora", "intermediate_lora", "output_lora", "leave_out", "r", "alpha", "dropout", "attn_matrices",
                "composition_mode", "init_weights_seed", "dtype");
        config.only("composition_mode", "add");
        int r = config.integer("r");
        double scale = config.number("alpha", r) / r;
        for (String path : tensors.modules(".loras." + name + ".lora_A")) {
            String stem = path + ".loras." + name;
            Target target = out.linear(path, stem + ".lora_A");
            target.lowRank(tensors.matrix(stem + ".lora_A", r, target.in()), tensors.matrix(stem + ".lora_B", target.out(), r).times(scale));
        }
    }

    /** h += Rᵀ (W h + b − R h) on a prompt's first and last positions. */
    private static void reft(AdapterOptions config, String name, AdapterTensors tensors, AdapterBuilder out) throws IOException {
        config.understand("architecture", "layers", "prefix_positions", "suffix_positions", "r", "orthogonality", "tied_weights", "dropout", "dtype",
                "output_reft", "init_weights_seed", "subtract_projection");
        boolean subtract = config.json("subtract_projection").asBoolean(true);
        boolean tied = config.bool("tied_weights");
        Map<Site, List<Form>> atEnd = new HashMap<>();
        for (int layer = 0; layer < out.spec().layers().size(); layer++) {
            String path = out.layerPath(layer) + ".reft_layer.refts." + name + ".units.";
            if (tensors.names().stream().noneMatch(n -> n.startsWith(path))) {
                continue;
            }
            Site site = new Site(layer, Module.BLOCK);
            out.add(site, unit(config, path + "0", subtract, tensors, out));
            if (!tied) {
                atEnd.put(site, List.of(unit(config, path + "1", subtract, tensors, out)));
            }
        }
        out.onPrompt(config.integer("prefix_positions"), config.integer("suffix_positions"), tied ? null : atEnd);
    }

    private static Form unit(AdapterOptions config, String path, boolean subtract, AdapterTensors tensors, AdapterBuilder out) throws IOException {
        int width = out.spec().hidden();
        int r = config.integer("r");
        Matrix source = tensors.matrix(path + ".learned_source.weight", r, width);
        float[] bias = tensors.vector(path + ".learned_source.bias", r);
        String stored = path + ".projection.parametrizations.weight.";
        Matrix projection = config.bool("orthogonality")
                ? householder(tensors.matrix(stored + "original", r, width), tensors.matrix(stored + "0.base", width, width))
                : tensors.matrix(path + ".projection.weight", r, width);
        Matrix down = subtract ? source.plus(projection.times(-1)) : source;
        return new Form.Bottleneck(Place.AFTER, null, null, out.weight(down), out.vector(bias), null, out.weight(projection.transposed()), null, 1);
    }

    /**
     * PyTorch's orthogonal parametrisation of a matrix with fewer rows than columns: the first columns of a product of Householder reflections, whose
     * vectors are the stored rows from their diagonal on, with a sign each, seen from a fixed basis.
     */
    private static Matrix householder(Matrix original, Matrix base) {
        int n = original.columns();
        int k = original.rows();
        Matrix product = Matrix.identity(n);
        for (int i = 0; i < k; i++) {
            int column = i;
            Matrix v = Matrix.of(n, 1, (r, c) -> r < column ? 0 : r == column ? 1 : original.at(column, r));
            double square = v.transposed().times(v).at(0, 0);
            product = product.plus(product.times(v).times(-2 / square).times(v.transposed()));
        }
        Matrix turned = product;
        return base.times(Matrix.of(n, k, (r, c) -> turned.at(r, c) * (int) original.at(c, c))).transposed();
    }
}
