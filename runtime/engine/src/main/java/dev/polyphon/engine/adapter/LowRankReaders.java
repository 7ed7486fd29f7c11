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
                "lora_dropout", "init_lora_weights", "rank_pattern", "loftq_config", "eva_config", "corda_config");
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
        options.understand("r", "vera_dropout", "d_initial", "save_projection", "projection_prng_key");
        int r = options.integer("r");
        Matrix sharedA;
        Matrix sharedB;
        if (tensors.names().contains("vera_A")) {
            sharedA = tensors.matrix("vera_A");
            sharedB = tensors.matrix("vera_B");
        } else {
            // They were left out (save_projection), and are drawn again as PEFT does, as large as the largest module needs.
            int in = 1;
            int most = 1;
            for (String path : tensors.modules(".vera_lambda_d")) {
                Target target = out.linear(path, path + ".vera_lambda_d");
                in = Math.max(in, target.in());
                most = Math.max(most, target.out());
            }
            TorchRandom random = new TorchRandom(options.integer("projection_prng_key", 0));
            sharedA = random.kaimingUniform(r, in);
            sharedB = random.kaimingUniform(most, r);
        }
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
        options.understand("r", "num_vectors", "vector_length", "topk", "vblora_dropout", "save_only_topk_weights", "init_vector_bank_bound", "init_logits_std");
        Matrix bank = tensors.matrix("vblora_vector_bank", options.integer("num_vectors"), options.integer("vector_length"));
        int r = options.integer("r");
        int topK = options.integer("topk");
        int piece = bank.columns();
        for (String path : tensors.modules(".vblora_logits_A", ".vblora_logits_A_topk_indices")) {
            Target target = out.linear(path, path + ".vblora_logits_A");
            int inPieces = target.in() / piece;
            int outPieces = target.out() / piece;
            float[][] piecesA = mixtures(tensors, path + ".vblora_logits_A", r, inPieces, bank, topK);
            float[][] piecesB = mixtures(tensors, path + ".vblora_logits_B", outPieces, r, bank, topK);
            target.lowRank(Matrix.of(r, target.in(), (i, j) -> piecesA[i * inPieces + j / piece][j % piece]),
                    Matrix.of(target.out(), r, (i, j) -> piecesB[i / piece * r + j][i % piece]));
        }
    }

    /** For each piece the mixture of the bank's vectors by the softmax over its {@code topK} largest logits, of which the results may be stored instead. */
    private static float[][] mixtures(AdapterTensors tensors, String name, int rows, int columns, Matrix bank, int topK) throws AdapterFault {
        if (topK < 1 || topK > bank.rows()) {
            throw new AdapterFault("topk must be 1 to num_vectors, " + bank.rows() + ", found " + topK);
        }
        float[][] mixtures = new float[rows * columns][bank.columns()];
        boolean logits = tensors.names().contains(name);
        float[] stored = logits ? tensors.values(name, rows, columns, bank.rows()) : tensors.values(name + "_topk_weights", rows, columns, topK - 1);
        float[] indices = logits ? null : tensors.values(name + "_topk_indices", rows, columns, topK);
        for (int m = 0; m < mixtures.length; m++) {
            int from = m * (logits ? bank.rows() : topK);
            int[] best = new int[topK];
            double[] weights = new double[topK];
            if (logits) {
                int[] order = IntStream.range(0, bank.rows()).boxed().sorted((x, y) -> Float.compare(stored[from + y], stored[from + x]))
                        .limit(topK).mapToInt(Integer::intValue).toArray();
                System.arraycopy(order, 0, best, 0, topK);
                double sum = 0;
                for (int k = 0; k < topK; k++) {
                    weights[k] = Math.exp(stored[from + best[k]] - stored[from + best[0]]);
                    sum += weights[k];
                }
                for (int k = 0; k < topK; k++) {
                    weights[k] /= sum;
                }
            } else {
                // The last weight is what the others leave of 1.
                weights[topK - 1] = 1;
                for (int k = 0; k < topK; k++) {
                    best[k] = (int) indices[from + k];
                    if (best[k] < 0 || best[k] >= bank.rows()) {
                        throw new AdapterFault("tensor " + name + "_topk_indices names vector " + best[k] + " of " + bank.rows());
                    }
                    if (k < topK - 1) {
                        weights[k] = stored[m * (topK - 1) + k];
                        weights[topK - 1] -= weights[k];
                    }
                }
            }
            for (int k = 0; k < topK; k++) {
                for (int c = 0; c < bank.columns(); c++) {
                    mixtures[m][c] += (float) (weights[k] * bank.at(best[k], c));
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
        options.understand("r", "randlora_alpha", "randlora_dropout", "save_projection", "projection_prng_key", "sparse", "very_sparse");
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

    /**
     * MiSS (Kang and Yin 2024): the input is summed in r interleaved groups, which expand by one matrix. {@code mini} stores its first columns, which repeat;
     * {@code bat} has a matrix for each r rows of the weight, which changes what is there too: W = W B + B in squares of r.
     */
    static void miss(AdapterOptions options, AdapterTensors tensors, String task, AdapterBuilder out) throws IOException {
        options.understand("r", "mini_r", "miss_dropout");
        options.only("init_weights", "true", "false", "bat", "mini");
        String variant = options.json("init_weights").asText();
        for (String path : tensors.modules(".miss_block")) {
            String name = path + ".miss_block";
            Target target = out.linear(path, name);
            if (variant.equals("bat")) {
                int r = options.integer("r");
                if (r < 1 || target.out() % r != 0 || target.in() % r != 0) {
                    throw new AdapterFault("r = " + r + " does not divide " + path + ", [" + target.out() + ", " + target.in() + "]");
                }
                float[] blocks = tensors.values(name, target.out() / r, r, r);
                Matrix weight = target.baseWeight();
                target.dense(Matrix.of(target.out(), target.in(), (o, i) -> {
                    int block = o / r * r * r;
                    double sum = blocks[block + o % r * r + i % r];
                    for (int k = 0; k < r; k++) {
                        sum += (double) weight.at(o, i / r * r + k) * blocks[block + k * r + i % r];
                    }
                    return sum;
                }));
                continue;
            }
            Matrix block = tensors.matrix(name);
            int r = block.rows();
            boolean repeats = variant.equals("mini");
            if (repeats ? block.columns() < 1 || target.out() % block.columns() != 0 : block.columns() != target.out()) {
                throw new AdapterFault("tensor " + name + " is [" + r + ", " + block.columns() + "], which does not fit the " + target.out() + " outputs of " + path);
            }
            target.lowRank(Matrix.of(r, target.in(), (i, j) -> j % r == i ? 1 : 0),
                    Matrix.of(target.out(), r, (o, k) -> block.at(k, o % block.columns())));
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
