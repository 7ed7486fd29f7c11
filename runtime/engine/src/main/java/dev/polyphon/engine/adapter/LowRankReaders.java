package dev.polyphon.engine.adapter;

import dev.polyphon.engine.adapter.AdapterBuilder.Target;
import dev.polyphon.engine.weights.TensorView;
import java.io.IOException;
import java.util.stream.IntStream;

/** Families whose weight change is a product of two thin matrices, however it is stored. */
final class LowRankReaders {
    private LowRankReaders() {}

    /** AdaLoRA (Zhang et al. 2023): ΔW = alpha/r · B diag(E) A, where r is the rank that training began with, whatever it left of it. */
    static void adaLora(AdapterOptions options, AdapterTensors tensors, String task, AdapterBuilder out) throws IOException {
        options.understand("r", "init_r", "target_r", "tinit", "tfinal", "deltaT", "beta1", "beta2", "orth_reg_weight", "total_step", "lora_alpha",
                "lora_dropout", "bias", "init_lora_weights", "rank_pattern", "loftq_config", "eva_config", "corda_config");
        options.only("bias");
        for (String path : tensors.modules(".lora_E")) {
            Target target = out.linear(path, path + ".lora_E");
            Matrix a = tensors.matrix(path + ".lora_A");
            int r = a.rows();
            float[] e = tensors.vector(path + ".lora_E", r);
            Matrix b = tensors.matrix(path + ".lora_B", target.out(), r);
            checkIn(a, target, path + ".lora_A");
            if (r == 0) {
                continue; // All of it was pruned.
            }
            int initial = options.integer("init_r", r);
            double alpha = options.number("lora_alpha", initial);
            double scale = (alpha > 0 ? alpha : initial) / (initial + 1e-5);
            target.lowRank(Matrix.of(r, a.columns(), (i, j) -> e[i] * a.at(i, j)), b.times(scale));
        }
    }

    /** VeRA (Kopiczko et al. 2024): ΔW = diag(b) B diag(d) A with A and B shared by all modules. */
    static void vera(AdapterOptions options, AdapterTensors tensors, String task, AdapterBuilder out) throws IOException {
        options.understand("r", "vera_dropout", "d_initial", "save_projection", "projection_prng_key", "bias");
        options.only("bias");
        if (!tensors.names().contains("vera_A")) {
            throw new AdapterFault("the shared projections vera_A and vera_B were not saved (save_projection)");
        }
        Matrix sharedA = tensors.matrix("vera_A");
        Matrix sharedB = tensors.matrix("vera_B");
        int r = options.integer("r");
        for (String path : tensors.modules(".vera_lambda_d")) {
            Target target = out.linear(path, path + ".vera_lambda_d");
            float[] d = tensors.vector(path + ".vera_lambda_d", r);
            float[] b = tensors.vector(path + ".vera_lambda_b", target.out());
            if (sharedA.rows() != r || sharedA.columns() < target.in() || sharedB.rows() < target.out() || sharedB.columns() != r) {
                throw new AdapterFault("vera_A and vera_B are too small for " + path);
            }
            target.lowRank(Matrix.of(r, target.in(), (i, j) -> d[i] * sharedA.at(i, j)), Matrix.of(target.out(), r, (i, j) -> b[i] * sharedB.at(i, j)));
        }
    }

    /** VB-LoRA (Li et al. 2024): A and B are put together from a bank of vectors, each piece a mixture of its best few. */
    static void vbLora(AdapterOptions options, AdapterTensors tensors, String task, AdapterBuilder out) throws IOException {
        options.understand("r", "num_vectors", "vector_length", "topk", "vblora_dropout", "bias", "init_vector_bank_bound", "init_logits_std");
        options.only("bias");
        Matrix bank = tensors.matrix("vblora_vector_bank", options.integer("num_vectors"), options.integer("vector_length"));
        int r = options.integer("r");
        int topK = options.integer("topk");
        int piece = bank.columns();
        for (String path : tensors.modules(".vblora_logits_A")) {
            Target target = out.linear(path, path + ".vblora_logits_A");
            int inPieces = target.in() / piece;
            int outPieces = target.out() / piece;
            float[] logitsA = tensors.values(path + ".vblora_logits_A", r, inPieces, bank.rows());
            float[] logitsB = tensors.values(path + ".vblora_logits_B", outPieces, r, bank.rows());
            float[][] piecesA = mixtures(logitsA, bank, topK);
            float[][] piecesB = mixtures(logitsB, bank, topK);
            target.lowRank(Matrix.of(r, target.in(), (i, j) -> piecesA[i * inPieces + j / piece][j % piece]),
                    Matrix.of(target.out(), r, (i, j) -> piecesB[i / piece * r + j][i % piece]));
        }
    }

    /** For each row of logits the mixture of the bank's vectors by the softmax over the {@code topK} largest. */
    private static float[][] mixtures(float[] logits, Matrix bank, int topK) {
        float[][] mixtures = new float[logits.length / bank.rows()][bank.columns()];
        for (int m = 0; m < mixtures.length; m++) {
            int from = m * bank.rows();
            int[] best = IntStream.range(0, bank.rows()).boxed().sorted((x, y) -> Float.compare(logits[from + y], logits[from + x]))
                    .limit(topK).mapToInt(Integer::intValue).toArray();
            double sum = 0;
            for (int b : best) {
                sum += Math.exp(logits[from + b] - logits[from + best[0]]);
            }
            for (int b : best) {
                double weight = Math.exp(logits[from + b] - logits[from + best[0]]) / sum;
                for (int c = 0; c < bank.columns(); c++) {
                    mixtures[m][c] += (float) (weight * bank.at(b, c));
                }
            }
        }
        return mixtures;
    }

    /** LoHa (Hyeon-Woo et al. 2022): ΔW = scale · (B₁A₁) ⊙ (B₂A₂), which is a product of rank r² by its rows' and columns' Kronecker products. */
    static void loHa(AdapterOptions options, AdapterTensors tensors, String task, AdapterBuilder out) throws IOException {
        options.understand("r", "alpha", "rank_dropout", "rank_pattern", "alpha_pattern", "use_effective_conv2d");
        AdapterOptions.Patterns ranks = options.patterns("rank_pattern", options.integer("r"));
        AdapterOptions.Patterns alphas = options.patterns("alpha_pattern", options.number("alpha"));
        for (String path : tensors.modules(".hada_w1_a")) {
            Target target = out.linear(path, path + ".hada_w1_a");
            int r = (int) ranks.of(path);
            Matrix firstB = tensors.matrix(path + ".hada_w1_a", target.out(), r);
            Matrix firstA = tensors.matrix(path + ".hada_w1_b", r, target.in());
            Matrix secondB = tensors.matrix(path + ".hada_w2_a", target.out(), r);
            Matrix secondA = tensors.matrix(path + ".hada_w2_b", r, target.in());
            double scale = alphas.of(path) / r;
            target.lowRank(Matrix.of(r * r, target.in(), (k, c) -> (double) firstA.at(k / r, c) * secondA.at(k % r, c)),
                    Matrix.of(target.out(), r * r, (o, k) -> scale * firstB.at(o, k / r) * secondB.at(o, k % r)));
        }
    }

    /** RandLoRA (Albert et al. 2025): full-rank updates from shared random bases with trained scales. */
    static void randLora(AdapterOptions options, AdapterTensors tensors, String task, AdapterBuilder out) throws IOException {
        options.understand("r", "randlora_alpha", "randlora_dropout", "save_projection", "projection_prng_key", "bias");
        options.only("bias");
        double scale = options.number("randlora_alpha") / options.integer("r");
        int r = options.integer("r");
        boolean shared = tensors.names().contains("randlora_A");
        for (String path : tensors.modules(".randlora_lambda")) {
            Target target = out.linear(path, path + ".randlora_lambda");
            String basisA = tensors.names().contains(path + ".randlora_A") ? path + ".randlora_A" : "randlora_A";
            String basisB = tensors.names().contains(path + ".randlora_B") ? path + ".randlora_B" : "randlora_B";
            if (!shared && basisA.equals("randlora_A")) {
                throw new AdapterFault("the random bases randlora_A and randlora_B were not saved (save_projection)");
            }
            int small = Math.min(target.in(), target.out());
            int large = Math.max(target.in(), target.out());
            int bases = (small + r - 1) / r;
            TensorView shapeA = tensors.take(basisA);
            TensorView shapeB = tensors.take(basisB);
            if (shapeA.rank() != 3 || shapeB.rank() != 3 || shapeA.dim(0) != r || shapeA.dim(2) < small || shapeB.dim(0) < large
                    || shapeB.dim(1) < bases || shapeB.dim(2) != r) {
                throw new AdapterFault("tensors " + basisA + " " + shapeA.describe() + " and " + basisB + " " + shapeB.describe() + " do not fit " + path);
            }
            float[] a = tensors.values(basisA, r, -1, -1);
            float[] b = tensors.values(basisB, -1, -1, r);
            int widthA = shapeA.dim(2);
            int countA = shapeA.dim(1);
            int countB = shapeB.dim(1);
            float[] lambda = tensors.values(path + ".randlora_lambda", r, bases);
            float[] gamma = tensors.values(path + ".randlora_gamma", bases, -1);
            int widthGamma = gamma.length / bases;
            if (widthGamma < small) {
                throw new AdapterFault("tensor " + path + ".randlora_gamma has " + widthGamma + " columns, this base needs " + small);
            }
            // The library flattens A's scaled copies with the basis index fastest, and B with the rank index fastest.
            Matrix narrow = Matrix.of(r * bases, small, (f, c) -> (double) lambda[f / bases * bases + f % bases]
                    * a[(f / bases * countA + Math.min(f % bases, countA - 1)) * widthA + c] * gamma[f % bases * widthGamma + c]);
            Matrix wide = Matrix.of(large, r * bases, (o, f) -> b[(o * countB + f / r) * r + f % r]);
            if (small == target.in()) {
                target.lowRank(narrow, wide.times(scale));
            } else {
                target.lowRank(wide.transposed(), narrow.transposed().times(scale));
            }
        }
        if (shared) {
            tensors.take("randlora_A");
            tensors.take("randlora_B");
        }
    }

    /** MiSS (Kang and Yin 2024): the input is summed in r interleaved groups, which expand by one matrix. */
    static void miss(AdapterOptions options, AdapterTensors tensors, String task, AdapterBuilder out) throws IOException {
        options.understand("r", "mini_r", "miss_dropout", "bias");
        options.only("bias");
        options.only("init_weights", "true", "false");
        for (String path : tensors.modules(".miss_block")) {
            Target target = out.linear(path, path + ".miss_block");
            Matrix block = tensors.matrix(path + ".miss_block");
            int r = block.rows();
            checkOut(block.transposed(), target, path + ".miss_block");
            target.lowRank(Matrix.of(r, target.in(), (i, j) -> j % r == i ? 1 : 0), block.transposed());
        }
    }

    /** LTE (Huh et al. 2024): the mean of several heads' deltas, which is one of their ranks' sum. */
    static void lteHeads(AdapterOptions options, AdapterTensors tensors, String task, AdapterBuilder out) throws IOException {
        options.understand("r", "lora_alpha", "num_heads");
        double scale = options.number("lora_alpha") / options.integer("r") / options.integer("num_heads");
        stacked(tensors, options.integer("num_heads"), options.integer("r"), scale, out);
    }

    /** HD-PiSSA (Wang et al. 2025): the sum of several devices' deltas. */
    static void hdPissa(AdapterOptions options, AdapterTensors tensors, String task, AdapterBuilder out) throws IOException {
        options.understand("r", "lora_alpha", "num_devices");
        stacked(tensors, options.integer("num_devices"), options.integer("r"), options.number("lora_alpha") / options.integer("r"), out);
    }

    /** A [heads, r, in] and B [heads, out, r], side by side. */
    private static void stacked(AdapterTensors tensors, int heads, int r, double scale, AdapterBuilder out) throws AdapterFault {
        for (String path : tensors.modules(".lora_A")) {
            Target target = out.linear(path, path + ".lora_A");
            float[] a = tensors.values(path + ".lora_A", heads, r, target.in());
            float[] b = tensors.values(path + ".lora_B", heads, target.out(), r);
            target.lowRank(new Matrix(heads * r, target.in(), a),
                    Matrix.of(target.out(), heads * r, (o, k) -> scale * b[(k / r * target.out() + o) * r + k % r]));
        }
    }

    /** SparseAdapter's LoRA (He et al. 2022): A and B stored as a bit mask and the values kept. */
    static void sparseLora(AdapterOptions options, AdapterTensors tensors, String task, AdapterBuilder out) throws IOException {
        options.understand("r", "lora_alpha", "sparse_ratio");
        double scale = options.number("lora_alpha") / options.integer("r");
        for (String path : tensors.modules(".lora_A.mask")) {
            Target target = out.linear(path, path + ".lora_A.mask");
            Matrix a = PackedTensors.masked(tensors, path + ".lora_A");
            Matrix b = PackedTensors.masked(tensors, path + ".lora_B");
            checkIn(a, target, path + ".lora_A");
            checkOut(b, target, path + ".lora_B");
            if (a.rows() != b.columns()) {
                throw new AdapterFault(path + ": lora_A has rank " + a.rows() + ", lora_B " + b.columns());
            }
            target.lowRank(a, b.times(scale));
        }
    }

    private static void checkIn(Matrix a, Target target, String name) throws AdapterFault {
        if (a.columns() != target.in()) {
            throw new AdapterFault("tensor " + name + " is [" + a.rows() + ", " + a.columns() + "], this base needs " + target.in() + " columns");
        }
    }

    private static void checkOut(Matrix b, Target target, String name) throws AdapterFault {
        if (b.rows() != target.out()) {
            throw new AdapterFault("tensor " + name + " is [" + b.rows() + ", " + b.columns() + "], this base needs " + target.out() + " rows");
        }
    }
}
