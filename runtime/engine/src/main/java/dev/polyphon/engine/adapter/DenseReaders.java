package dev.polyphon.engine.adapter;

import dev.polyphon.engine.adapter.AdapterBuilder.Target;
import java.io.IOException;
import java.util.stream.IntStream;

/** Families whose weight change has no low rank, or a cheap one only sometimes. */
final class DenseReaders {
    private DenseReaders() {}

    /** LoKr (Yeh et al. 2024): ΔW = scale · W₁ ⊗ W₂, either factor possibly a product itself. */
    static void loKr(AdapterOptions options, AdapterTensors tensors, String task, AdapterBuilder out) throws IOException {
        options.understand("r", "alpha", "rank_dropout", "rank_dropout_scale", "decompose_both", "decompose_factor", "rank_pattern", "alpha_pattern",
                "use_effective_conv2d");
        AdapterOptions.Patterns ranks = options.patterns("rank_pattern", options.integer("r"));
        AdapterOptions.Patterns alphas = options.patterns("alpha_pattern", options.number("alpha"));
        for (String path : tensors.modules(".lokr_w1", ".lokr_w1_a")) {
            Target target = out.linear(path, path + ".lokr_w1");
            Matrix.Factors first = factors(tensors, path + ".lokr_w1");
            Matrix.Factors second = factors(tensors, path + ".lokr_w2");
            int rows = first.left().rows() * second.left().rows();
            int columns = first.right().columns() * second.right().columns();
            if (rows != target.out() || columns != target.in()) {
                throw new AdapterFault(path + ": the product of lokr_w1 and lokr_w2 is [" + rows + ", " + columns
                        + "], this base needs [" + target.out() + ", " + target.in() + "]");
            }
            double scale = alphas.of(path) / ranks.of(path);
            long rank = (long) first.right().rows() * second.right().rows();
            if (rank * (rows + columns) < (long) rows * columns) {
                // (B₁A₁) ⊗ (B₂A₂) = (B₁ ⊗ B₂)(A₁ ⊗ A₂).
                target.lowRank(first.right().kronecker(second.right()), first.left().kronecker(second.left()).times(scale));
            } else {
                target.dense(first.left().times(first.right()).kronecker(second.left().times(second.right())).times(scale));
            }
        }
    }

    /** A factor of the Kronecker product as a product itself: as it is stored, or with the identity on its smaller side. */
    private static Matrix.Factors factors(AdapterTensors tensors, String name) throws AdapterFault {
        if (tensors.names().contains(name)) {
            Matrix whole = tensors.matrix(name);
            return whole.rows() < whole.columns() ? new Matrix.Factors(Matrix.identity(whole.rows()), whole)
                    : new Matrix.Factors(whole, Matrix.identity(whole.columns()));
        }
        Matrix a = tensors.matrix(name + "_a");
        Matrix b = tensors.matrix(name + "_b");
        if (a.columns() != b.rows()) {
            throw new AdapterFault("tensors " + name + "_a [" + a.rows() + ", " + a.columns() + "] and " + name + "_b [" + b.rows() + ", " + b.columns()
                    + "] do not fit each other");
        }
        return new Matrix.Factors(a, b);
    }

    /** C3A (Chen et al. 2024): blocks of circulant matrices, each given by one of its rows. */
    static void c3a(AdapterOptions options, AdapterTensors tensors, String task, AdapterBuilder out) throws IOException {
        options.understand("block_size", "block_size_pattern");
        AdapterOptions.Patterns sizes = options.patterns("block_size_pattern", options.integer("block_size"));
        for (String path : tensors.modules(".c3a_kernel")) {
            Target target = out.linear(path, path + ".c3a_kernel");
            int block = (int) sizes.of(path);
            int across = target.in() / block;
            float[] kernel = tensors.values(path + ".c3a_kernel", target.out() / block, across, block);
            target.dense(Matrix.of(target.out(), target.in(), (o, i) -> kernel[(o / block * across + i / block) * block
                    + Math.floorMod(i % block - o % block, block)] / (double) target.in()));
        }
    }

    /** SHiRA (Bhardwaj et al. 2024): a few entries of the weight changed. */
    static void shira(AdapterOptions options, AdapterTensors tensors, String task, AdapterBuilder out) throws IOException {
        options.understand("r", "mask_type", "random_seed");
        for (String path : tensors.modules(".shira_weight")) {
            Target target = out.linear(path, path + ".shira_weight");
            float[] values = tensors.values(path + ".shira_weight", -1);
            float[] places = tensors.values(path + ".shira_indices", 2, values.length);
            float[] delta = new float[target.out() * target.in()];
            for (int i = 0; i < values.length; i++) {
                int row = (int) places[i];
                int column = (int) places[values.length + i];
                if (row < 0 || row >= target.out() || column < 0 || column >= target.in()) {
                    throw new AdapterFault("tensor " + path + ".shira_indices names [" + row + ", " + column + "], the weight is [" + target.out() + ", "
                            + target.in() + "]");
                }
                delta[row * target.in() + column] += values[i];
            }
            target.dense(new Matrix(target.out(), target.in(), delta));
        }
    }

    /**
     * FourierFT (Gao et al. 2024): the real part of the inverse Fourier transform of a few coefficients. Each is a plane wave, cos(a + b) = cos a cos b −
     * sin a sin b: a product of rank 2.
     */
    static void fourierFt(AdapterOptions options, AdapterTensors tensors, String task, AdapterBuilder out) throws IOException {
        options.understand("n_frequency", "scaling", "random_loc_seed", "n_frequency_pattern", "fourierft_dropout");
        AdapterOptions.Patterns counts = options.patterns("n_frequency_pattern", options.integer("n_frequency"));
        double scaling = options.number("scaling");
        for (String path : tensors.modules(".fourierft_spectrum")) {
            Target target = out.linear(path, path + ".fourierft_spectrum");
            int n = (int) counts.of(path);
            float[] spectrum = tensors.vector(path + ".fourierft_spectrum", n);
            int[] places = TorchRandom.permutation(options.integer("random_loc_seed", 777), (long) target.out() * target.in(), n);
            double factor = scaling / ((double) target.out() * target.in());
            target.lowRank(
                    Matrix.of(2 * n, target.in(), (k, i) -> wave(k, places[k / 2] % target.in(), i, target.in())),
                    Matrix.of(target.out(), 2 * n, (o, k) -> (k % 2 == 0 ? factor : -factor) * spectrum[k / 2]
                            * wave(k, places[k / 2] / target.in(), o, target.out())));
        }
    }

    private static double wave(int which, int frequency, int position, int length) {
        double angle = 2 * Math.PI * Math.floorMod((long) frequency * position, (long) length) / length;
        return which % 2 == 0 ? Math.cos(angle) : Math.sin(angle);
    }

    /** WaveFT (Bilican et al. 2025) with Haar wavelets: one level of the inverse transform of a few coefficients. */
    static void waveFt(AdapterOptions options, AdapterTensors tensors, String task, AdapterBuilder out) throws IOException {
        options.understand("n_frequency", "scaling", "random_loc_seed", "n_frequency_pattern", "waveft_dropout", "wavelet_family", "use_idwt",
                "proportional_parameters");
        options.only("wavelet_family", "db1", "haar");
        options.only("proportional_parameters");
        AdapterOptions.Patterns counts = options.patterns("n_frequency_pattern", options.integer("n_frequency"));
        double scaling = options.number("scaling");
        boolean inverse = options.json("use_idwt").asBoolean(true);
        for (String path : tensors.modules(".waveft_spectrum")) {
            Target target = out.linear(path, path + ".waveft_spectrum");
            int n = (int) counts.of(path);
            int in = target.in();
            float[] spectrum = tensors.vector(path + ".waveft_spectrum", n);
            int[] places = TorchRandom.permutation(options.integer("random_loc_seed", 777), (long) target.out() * in, n);
            if (!inverse) {
                float[] delta = new float[target.out() * in];
                IntStream.range(0, n).forEach(k -> delta[places[k]] = (float) (scaling * spectrum[k]));
                target.dense(new Matrix(target.out(), in, delta));
                continue;
            }
            int height = target.out() + target.out() % 2;
            int width = in + in % 2;
            float[] coefficients = new float[height * width];
            IntStream.range(0, n).forEach(k -> coefficients[(places[k] / in + (height - target.out()) / 2) * width
                    + places[k] % in + (width - in) / 2] = spectrum[k]);
            target.dense(Matrix.of(target.out(), in, (o, i) -> scaling * haar(coefficients, height, width,
                    o + (height - target.out()) / 2, i + (width - in) / 2)));
        }
    }

    /** One value of the inverse transform: the four quarters are approximation, horizontal, vertical and diagonal details. */
    private static double haar(float[] coefficients, int height, int width, int row, int column) {
        int h = height / 2;
        int w = width / 2;
        int at = row / 2 * width + column / 2;
        int rowSign = row % 2 == 0 ? 1 : -1;
        int columnSign = column % 2 == 0 ? 1 : -1;
        return 0.5 * (coefficients[at] + rowSign * coefficients[at + w] + columnSign * coefficients[at + h * width]
                + rowSign * columnSign * coefficients[at + h * width + w]);
    }

    /** MoSA and Split &amp; Merge (sparse mixtures): BA where the entry's part is an active one. */
    static void mosa(AdapterOptions options, AdapterTensors tensors, String task, AdapterBuilder out) throws IOException {
        options.understand("r", "lora_alpha", "num_parts", "active_parts");
        int[] active = IntStream.range(0, options.json("active_parts").size()).map(i -> options.json("active_parts").get(i).asInt()).toArray();
        for (String path : tensors.modules(".lora_A.weight")) {
            Target target = out.linear(path, path + ".lora_A.weight");
            int r = options.integer("r");
            Matrix product = tensors.matrix(path + ".lora_B.weight", target.out(), r).times(tensors.matrix(path + ".lora_A.weight", r, target.in()));
            Matrix part = tensors.matrix(path + ".part", target.out(), target.in());
            target.dense(Matrix.of(target.out(), target.in(),
                    (o, i) -> IntStream.of(active).anyMatch(p -> p == (int) part.at(o, i)) ? product.at(o, i) : 0));
        }
    }
}
