package dev.polyphon.engine.adapter;

import com.fasterxml.jackson.databind.JsonNode;
import dev.polyphon.engine.adapter.AdapterBuilder.Target;
import dev.polyphon.engine.adapter.AdapterOptions.Patterns;
import dev.polyphon.engine.model.Form;
import dev.polyphon.engine.model.Layout;
import dev.polyphon.engine.model.Module;
import dev.polyphon.engine.weights.Floats;
import dev.polyphon.engine.weights.TensorView;
import java.io.IOException;
import java.util.List;
import java.util.Set;
import java.util.function.Supplier;
import java.util.stream.IntStream;

/**
 * LoRA (Hu et al. 2021) with PEFT's options: rank-stabilised scale, patterns, DoRA (Liu et al. 2024), biases, embeddings and head, saved modules, token
 * rows, activation by invocation tokens, and initialisations that took a part out of the base (PiSSA, Meng et al. 2024; OLoRA, Büyükakyüz 2024).
 */
final class LoraReader implements AdapterReader {
    /** Initialisations after which the saved tensors are a delta to the base as published. */
    private static final String[] PLAIN_INITIALISATIONS = {"true", "gaussian", "orthogonal", "eva", "mica"};

    @Override
    public void read(AdapterOptions options, AdapterTensors tensors, String task, AdapterBuilder out) throws IOException {
        options.understand("r", "lora_alpha", "lora_dropout", "rank_pattern", "alpha_pattern", "use_rslora", "use_dora", "lora_bias",
                "init_lora_weights", "loftq_config", "eva_config", "trainable_token_indices", "alora_invocation_tokens",
                "enable_lora", "merge_weights", "quantization", "velora_config");
        int rank = options.integer("r");
        if (rank < 1) {
            throw new AdapterFault("r must be at least 1, found " + rank);
        }
        Patterns ranks = options.patterns("rank_pattern", rank);
        Patterns alphas = options.patterns("alpha_pattern", options.number("lora_alpha", rank));
        boolean stabilised = options.bool("use_rslora");
        String initialisation = options.json("init_lora_weights").asText();
        boolean pissa = initialisation.equals("pissa");
        if (initialisation.startsWith("pissa_niter_")) {
            throw new AdapterFault("init_lora_weights = " + initialisation + " took a part out of the base that was found at random; "
                    + "PEFT saves the adapter without it when given path_initial_model_for_weight_conversion");
        }
        boolean residual = pissa || initialisation.equals("olora");
        if (!residual) {
            options.only("init_lora_weights", PLAIN_INITIALISATIONS);
        }
        int bits = PackedTensors.bits(options);
        if (bits > 0 && (residual || options.bool("use_dora") || options.bool("lora_bias"))) {
            throw new AdapterFault("quantization together with use_dora, lora_bias, pissa or olora is not supported");
        }
        for (String path : bits > 0 ? tensors.modules(".lora_A" + PackedTensors.ending(bits)) : Set.<String>of()) {
            Target target = out.linear(path, path + ".lora_A");
            int r = (int) ranks.of(path);
            target.lowRank(PackedTensors.matrix(tensors, path + ".lora_A", bits, r, target.in()),
                    PackedTensors.matrix(tensors, path + ".lora_B", bits, target.out(), r).times(alphas.of(path) / (stabilised ? Math.sqrt(r) : r)));
        }
        Set<String> experts = ExpertReader.read(options, tensors, ranks, alphas, stabilised, out);
        if (!experts.isEmpty() && (residual || bits > 0)) {
            throw new AdapterFault("init_lora_weights = " + initialisation + " and quantization are not supported at experts (" + experts.iterator().next() + ")");
        }
        for (String path : bits > 0 ? Set.<String>of() : modules(tensors)) {
            if (experts.contains(path)) {
                continue;
            }
            Target target = out.linear(path, path + ".lora_A.weight");
            double r = ranks.of(path);
            float scale = (float) (alphas.of(path) / (stabilised ? Math.sqrt(r) : r));
            TensorView a = shaped(weight(tensors, path, "lora_A"), (int) r, target.in());
            TensorView b = shaped(weight(tensors, path, "lora_B"), target.out(), (int) r);
            Supplier<Matrix> delta;
            if (residual) {
                Matrix.Factors initial = initial(target, pissa, (int) r);
                // It is subtracted again, which doubles the rank.
                Matrix both = matrix(a).above(initial.right());
                Matrix difference = matrix(b).times(scale).beside(initial.left().times(pissa ? -1 : -scale));
                target.lowRank(both, difference);
                delta = () -> difference.times(both);
            } else {
                target.lowRank(a, b, scale);
                delta = () -> matrix(b).times(matrix(a)).times(scale);
            }
            if (options.bool("lora_bias")) {
                float[] bias = tensors.vector(path + ".lora_B.bias", target.out());
                target.scaleShift(null, scaled(bias, scale));
            }
            if (options.bool("use_dora")) {
                magnitude(target, magnitude(tensors, path, target), delta.get(), out);
            }
        }
        for (String path : tensors.modules(".lora_velora_embed")) {
            tensors.take(path + ".lora_velora_embed"); // For gradients only.
        }
        embedding(options, tensors, ranks, alphas, stabilised, out);
        for (String path : tensors.modules(".base_layer.weight")) {
            // PEFT saves the base's own embedding and head beside their deltas.
            Target target = out.target(path, path + ".base_layer.weight");
            boolean table = target.module() == Module.EMBED;
            tensors.matrix(path + ".base_layer.weight", table ? out.spec().vocabulary() : target.out(), table ? out.spec().hidden() : target.in());
        }
        EmbeddingReaders.tokenRows(tensors, options.json("trainable_token_indices"), ".token_adapter.trainable_tokens_delta", out);
        JsonNode invocation = options.json("alora_invocation_tokens");
        if (invocation.isArray() && !invocation.isEmpty()) {
            activeThroughout(options, tensors);
            out.invocation(IntStream.range(0, invocation.size()).map(i -> invocation.get(i).asInt()).toArray());
        }
    }

    /** What PEFT applies to every position of an activated adapter too, while its deltas wait for their invocation; one sequence has no place for both. */
    private static void activeThroughout(AdapterOptions options, AdapterTensors tensors) throws AdapterFault {
        for (String key : List.of("modules_to_save", "trainable_token_indices")) {
            JsonNode value = options.json(key);
            if (value.isContainerNode() && !value.isEmpty()) {
                throw new AdapterFault("alora_invocation_tokens together with " + key + " = " + value + " is not supported");
            }
        }
        String bias = options.json("bias").asText("none");
        if (!bias.equals("none")) {
            throw new AdapterFault("alora_invocation_tokens together with bias = " + bias + " is not supported");
        }
        for (String path : tensors.modules(".lora_embedding_A")) {
            throw new AdapterFault("tensor " + path + ".lora_embedding_A together with alora_invocation_tokens is not supported");
        }
    }

    private static Set<String> modules(AdapterTensors tensors) {
        return tensors.modules(".lora_A.weight", ".lora_A.default.weight", ".lora_B.weight", ".lora_B.default.weight");
    }

    /** Some versions wrote the adapter's name into the tensors'. */
    private static TensorView weight(AdapterTensors tensors, String path, String matrix) throws AdapterFault {
        String named = path + "." + matrix + ".default.weight";
        return tensors.take(tensors.names().contains(named) ? named : path + "." + matrix + ".weight");
    }

    private static TensorView shaped(TensorView tensor, int rows, int columns) throws AdapterFault {
        if (tensor.rank() != 2 || tensor.shape()[0] != rows || tensor.shape()[1] != columns) {
            throw new AdapterFault("tensor " + tensor.name() + " is " + tensor.describe() + ", this base needs [" + rows + ", " + columns + "]");
        }
        switch (tensor.dtype()) {
            case F32, F16, BF16 -> {}
            default -> throw new AdapterFault("tensor " + tensor.name() + " is " + tensor.describe() + "; F32, F16 or BF16 are supported");
        }
        AdapterTensors.finite(tensor.name(), tensor);
        return tensor;
    }

    private static float[] scaled(float[] values, float factor) {
        float[] scaled = values.clone();
        for (int i = 0; i < scaled.length; i++) {
            scaled[i] *= factor;
        }
        return scaled;
    }

    /** What training began with by moving it from the base's weight into A and B. */
    private static Matrix.Factors initial(Target target, boolean pissa, int rank) throws AdapterFault {
        Matrix weight = target.baseWeight();
        return pissa ? weight.truncatedSvd(rank) : weight.leadingQr(rank);
    }

    private static Matrix matrix(TensorView view) {
        return new Matrix(view.dim(0), view.dim(1), Floats.all(view));
    }

    private static float[] magnitude(AdapterTensors tensors, String path, Target target) throws AdapterFault {
        String named = path + ".lora_magnitude_vector.weight";
        return tensors.vector(tensors.names().contains(named) ? named : path + ".lora_magnitude_vector", target.out());
    }

    /** y = m/‖W + ΔW‖ ⊙ (Wx + ΔWx) + b, the norm taken over each row. */
    private static void magnitude(Target target, float[] magnitude, Matrix delta, AdapterBuilder out) throws AdapterFault {
        for (Layout.Part part : target.sites()) {
            Matrix weight = out.baseWeight(part.site()).plus(delta.rows(part.rows()));
            float[] wanted = AdapterBuilder.select(magnitude, part);
            float[] bias = out.baseBias(part.site());
            float[] factors = new float[wanted.length];
            float[] shift = bias == null ? null : new float[wanted.length];
            for (int r = 0; r < factors.length; r++) {
                double square = 0;
                for (int c = 0; c < weight.columns(); c++) {
                    square += (double) weight.at(r, c) * weight.at(r, c);
                }
                factors[r] = (float) (wanted[r] / Math.sqrt(square));
                if (bias != null) {
                    shift[r] = (1 - factors[r]) * bias[r];
                }
            }
            out.add(part.site(), new Form.ScaleShift(out.vector(factors), shift == null ? null : out.vector(shift)));
        }
    }

    private static void embedding(AdapterOptions options, AdapterTensors tensors, Patterns ranks, Patterns alphas, boolean stabilised, AdapterBuilder out)
            throws IOException {
        for (String path : tensors.modules(".lora_embedding_A")) {
            Target target = out.target(path, path + ".lora_embedding_A");
            if (target.module() != Module.EMBED) {
                throw new AdapterFault("tensor " + path + ".lora_embedding_A does not belong to the embedding");
            }
            if (options.bool("use_dora")) {
                throw new AdapterFault("use_dora at the embedding " + path + " is not supported");
            }
            int r = (int) ranks.of(path);
            Matrix a = tensors.matrix(path + ".lora_embedding_A", r, out.spec().vocabulary());
            Matrix b = tensors.matrix(path + ".lora_embedding_B", out.spec().hidden(), r);
            float scale = (float) (alphas.of(path) / (stabilised ? Math.sqrt(r) : r));
            target.form(new Form.EmbeddingDelta(out.table(a.transposed()), out.weight(b), scale));
        }
    }
}
