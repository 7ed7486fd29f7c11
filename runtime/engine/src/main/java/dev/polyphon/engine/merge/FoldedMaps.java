package dev.polyphon.engine.merge;

import dev.polyphon.engine.backend.Kernels;
import dev.polyphon.engine.backend.Weight;
import java.util.Arrays;
import java.util.Map;

/** What a form makes of the map that stands at its site. Each works out its rows from those of the map before it. */
final class FoldedMaps {
    private FoldedMaps() {}

    /** {@code to[at + i] += factor · x[from + i]}. */
    static void add(float[] x, int from, int length, float factor, float[] to, int at) {
        for (int i = 0; i < length; i++) {
            to[at + i] += factor * x[from + i];
        }
    }

    /** {@code to[at..] += scale · Σ_k factors[k] · matrix[k]}, a row times a matrix whose rows are {@code width} long. */
    static void addProduct(float[] factors, int from, int count, float[] matrix, int width, float scale, float[] to, int at) {
        for (int k = 0; k < count; k++) {
            float factor = scale * factors[from + k];
            if (factor != 0) {
                add(matrix, k * width, width, factor, to, at);
            }
        }
    }

    /** x + y, either null for none; a new array, or one of the two. */
    private static float[] sum(float[] x, float[] y) {
        if (x == null || y == null) {
            return x == null ? y : x;
        }
        float[] sum = x.clone();
        add(y, 0, y.length, 1, sum, 0);
        return sum;
    }

    /** A weight as the kernels have it. */
    record Read(Kernels kernels, Weight weight, float[] bias) implements LinearMap {
        @Override
        public int out() {
            return weight.out();
        }

        @Override
        public int in() {
            return weight.in();
        }

        @Override
        public void rows(int first, int count, float[] to) {
            kernels.read(weight, first, count, to);
        }
    }

    /** Maps with another matrix in the same shape. */
    private interface Reshaped extends LinearMap {
        LinearMap y();

        @Override
        default int out() {
            return y().out();
        }

        @Override
        default int in() {
            return y().in();
        }

        @Override
        default float[] bias() {
            return y().bias();
        }
    }

    /** y + D x. */
    record Sum(LinearMap y, LinearMap delta) implements Reshaped {
        @Override
        public void rows(int first, int count, float[] to) {
            y.rows(first, count, to);
            float[] change = new float[count * in()];
            delta.rows(first, count, change);
            add(change, 0, change.length, 1, to, 0);
        }
    }

    /**
     * y + scale · B A x + shift.
     *
     * @param a [rank, in]
     * @param b [out, rank]
     * @param shift or null
     */
    record LowRankSum(LinearMap y, float[] a, float[] b, float scale, float[] shift) implements Reshaped {
        @Override
        public void rows(int first, int count, float[] to) {
            y.rows(first, count, to);
            int rank = a.length / in();
            for (int r = 0; r < count; r++) {
                addProduct(b, (first + r) * rank, rank, a, in(), scale, to, r * in());
            }
        }

        @Override
        public float[] bias() {
            return sum(y.bias(), shift);
        }
    }

    /** scale ⊙ y + shift, either null for none. */
    record ScaledShifted(LinearMap y, float[] scale, float[] shift) implements Reshaped {
        @Override
        public void rows(int first, int count, float[] to) {
            y.rows(first, count, to);
            for (int r = 0; scale != null && r < count; r++) {
                for (int k = 0; k < in(); k++) {
                    to[r * in() + k] *= scale[first + r];
                }
            }
        }

        @Override
        public float[] bias() {
            float[] bias = y.bias();
            if (bias != null && scale != null) {
                bias = bias.clone();
                for (int i = 0; i < bias.length; i++) {
                    bias[i] *= scale[i];
                }
            }
            return sum(bias, shift);
        }
    }

    /** y of scale ⊙ x. */
    record InputScaled(LinearMap y, float[] scale) implements Reshaped {
        @Override
        public void rows(int first, int count, float[] to) {
            y.rows(first, count, to);
            for (int i = 0; i < count * in(); i++) {
                to[i] *= scale[i % in()];
            }
        }
    }

    /**
     * y of M x.
     *
     * @param map [in, in]
     * @param from first column of each row of the map that is not zero: rotations are mostly blocks on the diagonal
     * @param length columns from there to the last one that is not zero
     */
    record InputMapped(LinearMap y, float[] map, int[] from, int[] length) implements Reshaped {

        static InputMapped of(LinearMap y, float[] map) {
            int in = y.in();
            int[] from = new int[in];
            int[] length = new int[in];
            for (int r = 0; r < in; r++) {
                int end = in;
                while (end > 0 && map[r * in + end - 1] == 0) {
                    end--;
                }
                while (from[r] < end && map[r * in + from[r]] == 0) {
                    from[r]++;
                }
                length[r] = end - from[r];
            }
            return new InputMapped(y, map, from, length);
        }

        @Override
        public void rows(int first, int count, float[] to) {
            int in = in();
            float[] before = new float[count * in];
            y.rows(first, count, before);
            Arrays.fill(to, 0, count * in, 0);
            for (int r = 0; r < count; r++) {
                for (int k = 0; k < in; k++) {
                    add(map, k * in + from[k], length[k], before[r * in + k], to, r * in + from[k]);
                }
            }
        }
    }

    /**
     * y of x + scale · U D x, with a bias of its own.
     *
     * @param up [in, rank]
     * @param down [rank, in]
     */
    record InputLowRank(LinearMap y, float[] up, float[] down, float scale, float[] bias) implements Reshaped {

        /** @param shift is added to x, too; or null */
        static InputLowRank of(LinearMap y, float[] up, float[] down, float scale, float[] shift) {
            return new InputLowRank(y, up, down, scale, shift == null ? y.bias() : sum(shifted(y, shift), y.bias()));
        }

        private static float[] shifted(LinearMap y, float[] shift) {
            float[] row = new float[y.in()];
            float[] bias = new float[y.out()];
            for (int o = 0; o < bias.length; o++) {
                y.rows(o, 1, row);
                double sum = 0;
                for (int k = 0; k < row.length; k++) {
                    sum += (double) row[k] * shift[k];
                }
                bias[o] = (float) sum;
            }
            return bias;
        }

        @Override
        public void rows(int first, int count, float[] to) {
            y.rows(first, count, to);
            int rank = down.length / in();
            float[] narrow = new float[rank];
            for (int r = 0; r < count; r++) {
                Arrays.fill(narrow, 0);
                for (int k = 0; k < in(); k++) {
                    add(up, k * rank, rank, to[r * in() + k], narrow, 0);
                }
                addProduct(narrow, 0, rank, down, in(), scale, to, r * in());
            }
        }
    }

    /** y with its pairs of columns turned, see {@link Kernels#turnPairs}. */
    record Turned(LinearMap y, int group, float[] cos, float[] sin) implements Reshaped {

        /** The other one of a row's pair. */
        private int partner(int row) {
            return row % group < group / 2 ? row + group / 2 : row - group / 2;
        }

        private float sign(int row) {
            return row % group < group / 2 ? -1 : 1;
        }

        @Override
        public void rows(int first, int count, float[] to) {
            y.rows(first, count, to);
            float[] other = new float[in()];
            for (int r = 0; r < count; r++) {
                int row = first + r;
                y.rows(partner(row), 1, other);
                for (int k = 0; k < in(); k++) {
                    to[r * in() + k] = cos[row] * to[r * in() + k] + sign(row) * sin[row] * other[k];
                }
            }
        }

        @Override
        public float[] bias() {
            float[] bias = y.bias();
            if (bias == null) {
                return null;
            }
            float[] turned = new float[bias.length];
            for (int row = 0; row < turned.length; row++) {
                turned[row] = cos[row] * bias[row] + sign(row) * sin[row] * bias[partner(row)];
            }
            return turned;
        }
    }

    /** A table in which some rows are others. */
    record WithRows(LinearMap y, float[] rows, Map<Integer, Integer> places) implements Reshaped {
        @Override
        public void rows(int first, int count, float[] to) {
            y.rows(first, count, to);
            for (int r = 0; r < count; r++) {
                Integer place = places.get(first + r);
                if (place != null) {
                    System.arraycopy(rows, place * in(), to, r * in(), in());
                }
            }
        }
    }
}
