package dev.polyphon.engine.adapter;

import com.fasterxml.jackson.databind.JsonNode;
import dev.polyphon.engine.adapter.AdapterBuilder.Target;
import dev.polyphon.engine.model.Form;
import dev.polyphon.engine.model.Layout;
import java.io.IOException;

/** Orthogonal fine-tuning: the weight is turned, which is the same as turning its input. */
final class RotationReaders {
    private RotationReaders() {}

    /** OFT (Qiu et al. 2023; OFTv2, Qiu et al. 2025): a block-diagonal rotation, each block the Cayley transform of a skew-symmetric matrix. */
    static void oft(AdapterOptions options, AdapterTensors tensors, String task, AdapterBuilder out) throws IOException {
        options.understand("r", "oft_block_size", "eps", "block_share", "use_cayley_neumann", "num_cayley_neumann_terms", "coft");
        JsonNode neumann = options.json("use_cayley_neumann");
        boolean constrained = options.bool("coft");
        int terms = neumann.asBoolean(false) ? options.integer("num_cayley_neumann_terms", 5) : 0;
        for (String path : tensors.modules(".oft_R.weight")) {
            Target target = out.linear(path, path + ".oft_R.weight");
            Matrix parameters = tensors.matrix(path + ".oft_R.weight");
            int size = (int) Math.round((1 + Math.sqrt(1 + 8.0 * parameters.columns())) / 2);
            int blocks = target.in() / size;
            if (size * (size - 1) / 2 != parameters.columns() || blocks * size != target.in()
                    || parameters.rows() != 1 && parameters.rows() != blocks) {
                throw new AdapterFault("tensor " + path + ".oft_R.weight is [" + parameters.rows() + ", " + parameters.columns()
                        + "], which does not divide an input of " + target.in());
            }
            Matrix[] turns = new Matrix[parameters.rows()];
            for (int b = 0; b < turns.length; b++) {
                Matrix skew = skew(parameters, b, size);
                if (constrained) {
                    // Projected onto a ball around no turn, as PEFT does each time before it turns.
                    double most = options.number("eps", 6e-5) / Math.sqrt(parameters.rows());
                    skew = skew.norm() <= most ? skew : skew.times(most / skew.norm());
                }
                turns[b] = terms > 0 ? neumann(skew, terms) : skew.cayley();
            }
            // Rows are turned as x R, so columns by the transpose.
            target.form(new Form.InputMatrix(out.weight(Matrix.of(target.in(), target.in(),
                    (c, k) -> c / size == k / size ? turns[Math.min(c / size, turns.length - 1)].at(k % size, c % size) : 0))));
        }
    }

    private static Matrix skew(Matrix parameters, int row, int size) {
        float[] data = new float[size * size];
        int next = 0;
        for (int i = 0; i < size; i++) {
            for (int j = i + 1; j < size; j++) {
                float value = parameters.at(row, next++);
                data[i * size + j] = value;
                data[j * size + i] = -value;
            }
        }
        return new Matrix(size, size, data);
    }

    /** The Cayley transform's Neumann series cut off after so many terms, the last one counted once. */
    private static Matrix neumann(Matrix skew, int terms) {
        Matrix sum = Matrix.identity(skew.rows());
        if (terms > 1) {
            sum = sum.plus(skew.times(2));
        }
        if (terms > 2) {
            Matrix power = skew.times(skew);
            sum = sum.plus(power.times(2));
            for (int i = 3; i < terms - 1; i++) {
                power = power.times(skew);
                sum = sum.plus(power.times(2));
            }
            sum = sum.plus(power.times(skew));
        }
        return sum;
    }

    /** BOFT (Liu et al. 2024): a product of permuted block-diagonal rotations, and a scale of the output. */
    static void boft(AdapterOptions options, AdapterTensors tensors, String task, AdapterBuilder out) throws IOException {
        options.understand("boft_block_size", "boft_block_num", "boft_n_butterfly_factor", "boft_dropout");
        for (String path : tensors.modules(".boft_R")) {
            Target target = out.linear(path, path + ".boft_R");
            float[] scale = tensors.vector(path + ".boft_s", target.out());
            // PEFT has one factor whatever was asked for where it cannot compile its kernel.
            float[] parameters = tensors.values(path + ".boft_R", -1, -1, -1, -1);
            int factors = Math.max(1, tensors.take(path + ".boft_R").dim(0));
            int in = target.in();
            int size = parameters.length / factors / in;
            if (size < 1 || parameters.length != factors * in * size || in % size != 0) {
                throw new AdapterFault("tensor " + path + ".boft_R does not divide an input of " + in);
            }
            Matrix turn = Matrix.identity(in);
            for (int f = 0; f < factors; f++) {
                int from = f * in * size;
                Matrix[] blocks = new Matrix[in / size];
                for (int b = 0; b < blocks.length; b++) {
                    int start = from + b * size * size;
                    blocks[b] = Matrix.of(size, size, (r, c) -> 0.5 * (parameters[start + r * size + c] - parameters[start + c * size + r])).cayley();
                }
                int[] order = butterfly(in, in / size >> f, size / 2, factors - 1);
                Matrix diagonal = Matrix.of(in, in, (r, c) -> r / size == c / size ? blocks[r / size].at(r % size, c % size) : 0);
                // P D Pᵀ, where row r of P picks entry order[r].
                turn = Matrix.of(in, in, (r, c) -> diagonal.at(order[r], order[c])).times(turn);
            }
            target.form(new Form.InputMatrix(out.weight(turn.transposed())));
            scaleWithoutBias(target, scale, out);
        }
    }

    private static void scaleWithoutBias(Target target, float[] scale, AdapterBuilder out) throws AdapterFault {
        for (Layout.Part part : target.sites()) {
            float[] factors = AdapterBuilder.select(scale, part);
            float[] bias = out.baseBias(part.site());
            float[] shift = bias == null ? null : new float[bias.length];
            for (int i = 0; shift != null && i < shift.length; i++) {
                shift[i] = (1 - factors[i]) * bias[i];
            }
            out.add(part.site(), new Form.ScaleShift(out.vector(factors), shift == null ? null : out.vector(shift)));
        }
    }

    /** The order in which a butterfly level takes its input: in each of {@code blocks} runs the even groups of {@code group} before the odd ones. */
    private static int[] butterfly(int n, int blocks, int group, int level) throws AdapterFault {
        int[] order = new int[n];
        for (int i = 0; i < n; i++) {
            order[i] = i;
        }
        if (level == 0) {
            return order;
        }
        if (blocks < 1 || group < 1 || (long) blocks * group * 2 > n) {
            throw new AdapterFault("boft_n_butterfly_factor does not fit blocks of " + 2 * group);
        }
        int run = n / blocks;
        int groups = run / group;
        for (int start = 0; start < n; start += run) {
            for (int g = 0; g < groups; g++) {
                int from = g < (groups + 1) / 2 ? 2 * g : 2 * (g - (groups + 1) / 2) + 1;
                for (int i = 0; i < group; i++) {
                    order[start + g * group + i] = start + from * group + i;
                }
            }
        }
        return order;
    }

    /** HRA (Yuan et al. 2024): a chain of Householder reflections I − 2uuᵀ, which is the identity and a low-rank matrix. */
    static void hra(AdapterOptions options, AdapterTensors tensors, String task, AdapterBuilder out) throws IOException {
        options.understand("r", "apply_GS");
        for (String path : tensors.modules(".hra_u")) {
            Target target = out.linear(path, path + ".hra_u");
            Matrix u = tensors.matrix(path + ".hra_u", target.in(), options.integer("r"));
            Matrix turn = Matrix.identity(target.in());
            Matrix[] vectors = directions(u, options.bool("apply_GS"));
            Matrix down = null;
            Matrix up = null;
            for (Matrix vector : vectors) {
                Matrix turned = turn.times(vector).times(-2);
                turn = turn.plus(turned.times(vector.transposed()));
                down = down == null ? vector.transposed() : down.above(vector.transposed());
                up = up == null ? turned : up.beside(turned);
            }
            target.form(new Form.Bottleneck(Form.Bottleneck.Place.BEFORE, null, null, out.weight(down), null, null, out.weight(up), null, 1));
        }
    }

    /** The columns with length 1, orthogonalised one after the other when asked. */
    private static Matrix[] directions(Matrix u, boolean orthogonal) {
        Matrix[] directions = new Matrix[u.columns()];
        for (int k = 0; k < directions.length; k++) {
            int column = k;
            Matrix vector = Matrix.of(u.rows(), 1, (r, c) -> u.at(r, column));
            for (int j = 0; orthogonal && j < k; j++) {
                vector = vector.plus(directions[j].times(-directions[j].transposed().times(vector).at(0, 0)));
            }
            double square = vector.transposed().times(vector).at(0, 0);
            directions[k] = vector.times(1 / Math.sqrt(square));
        }
        return directions;
    }
}
