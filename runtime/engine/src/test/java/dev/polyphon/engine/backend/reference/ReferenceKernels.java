package dev.polyphon.engine.backend.reference;

import dev.polyphon.engine.backend.Activation;
import dev.polyphon.engine.backend.AttentionSpec;
import dev.polyphon.engine.backend.Batch;
import dev.polyphon.engine.backend.Kernels;
import dev.polyphon.engine.backend.KvCache;
import dev.polyphon.engine.backend.LowRank;
import dev.polyphon.engine.backend.NormKind;
import dev.polyphon.engine.backend.Projection;
import dev.polyphon.engine.backend.RotaryTable;
import dev.polyphon.engine.backend.Tensor;
import dev.polyphon.engine.backend.Weight;
import dev.polyphon.engine.weights.TensorView;
import java.util.Arrays;
import java.util.List;

/** Every kernel as its definition says, one scalar loop after the other, sums in double: what fast kernels are compared to. */
public final class ReferenceKernels implements Kernels {

    private record ArrayTensor(int rows, int columns, float[] data) implements Tensor {
        float get(int row, int column) {
            return data[row * columns + column];
        }

        void set(int row, int column, double value) {
            data[row * columns + column] = (float) value;
        }

        @Override
        public void close() {}
    }

    private record ArrayWeight(int out, int in, float[] data) implements Weight {
        @Override
        public long bytes() {
            return 4L * data.length;
        }

        @Override
        public void close() {}
    }

    private record ArrayKvCache(int kvHeads, int headDim, int blocks, int blockSize, float[][] keys, float[][] values) implements KvCache {
        int at(int[] table, int position) {
            return (table[position / blockSize] * blockSize + position % blockSize) * kvHeads * headDim;
        }

        @Override
        public long blockBytes() {
            return 8L * keys.length * blockSize * kvHeads * headDim;
        }

        @Override
        public void close() {}
    }

    private record ArrayRotaryTable(int pairs, float[][] cos, float[][] sin) implements RotaryTable {
        @Override
        public void close() {}
    }

    @Override
    public String describe() {
        return "scalar reference";
    }

    @Override
    public Weight weight(TensorView view, int[] rowOrder) {
        if (view.rank() != 2) {
            throw new IllegalArgumentException("a weight has two dimensions, " + view.name() + " is " + view.describe());
        }
        int in = view.dim(1);
        float[] data = Dequantiser.all(view);
        if (rowOrder == null) {
            return new ArrayWeight(view.dim(0), in, data);
        }
        float[] ordered = new float[rowOrder.length * in];
        for (int i = 0; i < rowOrder.length; i++) {
            System.arraycopy(data, rowOrder[i] * in, ordered, i * in, in);
        }
        return new ArrayWeight(rowOrder.length, in, ordered);
    }

    @Override
    public Weight rows(TensorView view, int[] rowOrder) {
        return weight(view, rowOrder);
    }

    @Override
    public Tensor tensor(int rows, int columns) {
        return new ArrayTensor(rows, columns, new float[Math.multiplyExact(rows, columns)]);
    }

    @Override
    public void write(Tensor tensor, int firstRow, int rows, float[] values) {
        ArrayTensor t = (ArrayTensor) tensor;
        System.arraycopy(values, 0, t.data, firstRow * t.columns, rows * t.columns);
    }

    @Override
    public void read(Tensor tensor, int firstRow, int rows, float[] values) {
        ArrayTensor t = (ArrayTensor) tensor;
        System.arraycopy(t.data, firstRow * t.columns, values, 0, rows * t.columns);
    }

    @Override
    public void read(Weight weight, int firstRow, int rows, float[] values) {
        ArrayWeight w = (ArrayWeight) weight;
        System.arraycopy(w.data(), firstRow * w.in(), values, 0, rows * w.in());
    }

    @Override
    public KvCache kvCache(int layers, int kvHeads, int headDim, int blocks, int blockSize) {
        int n = Math.multiplyExact(blocks * blockSize, kvHeads * headDim);
        return new ArrayKvCache(kvHeads, headDim, blocks, blockSize, new float[layers][n], new float[layers][n]);
    }

    @Override
    public RotaryTable rotaryTable(float[] inverseFrequencies, float magnitude, int positions) {
        int pairs = inverseFrequencies.length;
        float[][] cos = new float[positions][pairs];
        float[][] sin = new float[positions][pairs];
        for (int p = 0; p < positions; p++) {
            for (int i = 0; i < pairs; i++) {
                float angle = p * inverseFrequencies[i];
                cos[p][i] = (float) (Math.cos(angle) * magnitude);
                sin[p][i] = (float) (Math.sin(angle) * magnitude);
            }
        }
        return new ArrayRotaryTable(pairs, cos, sin);
    }

    @Override
    public void embed(Weight table, int[] ids, int rows, float scale, Tensor out) {
        ArrayWeight w = (ArrayWeight) table;
        for (int r = 0; r < rows; r++) {
            for (int c = 0; c < w.in; c++) {
                ((ArrayTensor) out).set(r, c, w.data[ids[r] * w.in + c] * scale);
            }
        }
    }

    @Override
    public void norm(NormKind kind, float epsilon, Tensor weight, Tensor bias, int group, Tensor x, int rows, Tensor out) {
        ArrayTensor in = (ArrayTensor) x;
        ArrayTensor result = (ArrayTensor) out;
        for (int r = 0; r < rows; r++) {
            for (int start = 0; start < in.columns; start += group) {
                double mean = 0;
                if (kind == NormKind.LAYER) {
                    for (int c = 0; c < group; c++) {
                        mean += in.get(r, start + c) / (double) group;
                    }
                }
                double variance = 0;
                for (int c = 0; c < group; c++) {
                    double d = in.get(r, start + c) - mean;
                    variance += d * d / group;
                }
                double scale = 1 / Math.sqrt(variance + epsilon);
                for (int c = 0; c < group; c++) {
                    double y = (in.get(r, start + c) - mean) * scale;
                    y *= weight == null ? 1 : ((ArrayTensor) weight).get(0, c);
                    y += bias == null ? 0 : ((ArrayTensor) bias).get(0, c);
                    result.set(r, start + c, y);
                }
            }
        }
    }

    @Override
    public void linear(Tensor x, int firstRow, int rows, List<Projection> projections) {
        for (Projection p : projections) {
            ArrayWeight w = (ArrayWeight) p.weight();
            for (int r = firstRow; r < firstRow + rows; r++) {
                for (int o = 0; o < w.out; o++) {
                    double bias = p.bias() == null ? 0 : ((ArrayTensor) p.bias()).get(0, o);
                    ((ArrayTensor) p.out()).set(r, o, bias + dot(w, o, (ArrayTensor) x, r));
                }
            }
        }
    }

    private static double dot(ArrayWeight w, int row, ArrayTensor x, int r) {
        double sum = 0;
        for (int c = 0; c < w.in; c++) {
            sum += (double) w.data[row * w.in + c] * x.get(r, c);
        }
        return sum;
    }

    @Override
    public void lowRank(Tensor x, List<LowRank> items) {
        for (LowRank item : items) {
            ArrayWeight a = (ArrayWeight) item.a();
            ArrayWeight b = (ArrayWeight) item.b();
            ArrayTensor out = (ArrayTensor) item.out();
            for (int r = item.firstRow(); r < item.firstRow() + item.rows(); r++) {
                double[] shrunk = new double[a.out];
                for (int k = 0; k < a.out; k++) {
                    shrunk[k] = dot(a, k, (ArrayTensor) x, r);
                }
                for (int o = 0; o < b.out; o++) {
                    double sum = 0;
                    for (int k = 0; k < b.in; k++) {
                        sum += shrunk[k] * b.data[o * b.in + k];
                    }
                    out.set(r, o, out.get(r, o) + item.scale() * sum);
                }
            }
        }
    }

    @Override
    public void rotary(RotaryTable table, boolean interleaved, Tensor x, int rows, int headDim, int[] positions) {
        ArrayRotaryTable t = (ArrayRotaryTable) table;
        ArrayTensor m = (ArrayTensor) x;
        for (int r = 0; r < rows; r++) {
            for (int head = 0; head < m.columns; head += headDim) {
                for (int i = 0; i < t.pairs; i++) {
                    int first = head + (interleaved ? 2 * i : i);
                    int second = interleaved ? first + 1 : first + t.pairs;
                    double cos = t.cos[positions[r]][i];
                    double sin = t.sin[positions[r]][i];
                    double a = m.get(r, first);
                    double b = m.get(r, second);
                    m.set(r, first, a * cos - b * sin);
                    m.set(r, second, b * cos + a * sin);
                }
            }
        }
    }

    @Override
    public void writeKv(KvCache cache, int layer, Tensor keys, Tensor values, Batch batch) {
        ArrayKvCache c = (ArrayKvCache) cache;
        int width = c.kvHeads * c.headDim;
        for (int s = 0; s < batch.sequences(); s++) {
            for (int r = batch.firstRow()[s]; r < batch.firstRow()[s + 1]; r++) {
                int at = c.at(batch.blocks()[s], batch.positions()[r]);
                for (int i = 0; i < width; i++) {
                    c.keys[layer][at + i] = ((ArrayTensor) keys).get(r, i);
                    c.values[layer][at + i] = ((ArrayTensor) values).get(r, i);
                }
            }
        }
    }

    @Override
    public void attention(AttentionSpec spec, Tensor queries, KvCache cache, int layer, Batch batch, Tensor out) {
        for (int s = 0; s < batch.sequences(); s++) {
            for (int r = batch.firstRow()[s]; r < batch.firstRow()[s + 1]; r++) {
                for (int h = 0; h < spec.heads(); h++) {
                    attend(spec, (ArrayTensor) queries, (ArrayKvCache) cache, layer, batch.blocks()[s], r, h, batch.positions()[r], (ArrayTensor) out);
                }
            }
        }
    }

    private static void attend(AttentionSpec spec, ArrayTensor queries, ArrayKvCache cache, int layer, int[] table, int row, int head,
            int position, ArrayTensor out) {
        int dim = spec.headDim();
        int kvOffset = head / (spec.heads() / spec.kvHeads()) * dim;
        int first = spec.window() == 0 ? 0 : Math.max(0, position - spec.window() + 1);
        double[] scores = new double[position - first + 1];
        double max = Double.NEGATIVE_INFINITY;
        for (int p = first; p <= position; p++) {
            double score = 0;
            for (int i = 0; i < dim; i++) {
                score += (double) queries.get(row, head * dim + i) * cache.keys[layer][cache.at(table, p) + kvOffset + i];
            }
            score *= spec.scale();
            if (spec.softCap() != 0) {
                score = spec.softCap() * Math.tanh(score / spec.softCap());
            }
            if (spec.alibiSlopes() != null) {
                score += spec.alibiSlopes()[head] * (double) p;
            }
            scores[p - first] = score;
            max = Math.max(max, score);
        }
        double total = 0;
        for (int i = 0; i < scores.length; i++) {
            scores[i] = Math.exp(scores[i] - max);
            total += scores[i];
        }
        double[] sum = new double[dim];
        for (int p = first; p <= position; p++) {
            for (int i = 0; i < dim; i++) {
                sum[i] += scores[p - first] * cache.values[layer][cache.at(table, p) + kvOffset + i];
            }
        }
        for (int i = 0; i < dim; i++) {
            out.set(row, head * dim + i, sum[i] / total);
        }
    }

    @Override
    public void activate(Activation f, Tensor gate, Tensor up, int rows, Tensor out) {
        ArrayTensor g = (ArrayTensor) gate;
        for (int r = 0; r < rows; r++) {
            for (int c = 0; c < g.columns; c++) {
                double y = apply(f, g.get(r, c));
                ((ArrayTensor) out).set(r, c, up == null ? y : y * ((ArrayTensor) up).get(r, c));
            }
        }
    }

    private static double apply(Activation f, double x) {
        return switch (f) {
            case SILU -> x / (1 + Math.exp(-x));
            case GELU -> 0.5 * x * erfc(-x / Math.sqrt(2));
            case GELU_TANH -> 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x)));
            case RELU -> Math.max(x, 0);
            case QUICK_GELU -> x / (1 + Math.exp(-1.702 * x));
            case TANH -> Math.tanh(x);
        };
    }

    /** Complementary error function by its Maclaurin series near zero and its continued fraction beyond (Abramowitz and Stegun 7.1.5, 7.1.14). */
    static double erfc(double x) {
        if (x < 0) {
            return 2 - erfc(-x);
        }
        if (x < 2.5) {
            double term = x;
            double sum = x;
            for (int n = 1; n < 100; n++) {
                term *= -x * x / n;
                sum += term / (2 * n + 1);
            }
            return 1 - 2 / Math.sqrt(Math.PI) * sum;
        }
        double fraction = x;
        for (int n = 120; n > 0; n--) {
            fraction = x + n / 2.0 / fraction;
        }
        return Math.exp(-x * x) / Math.sqrt(Math.PI) / fraction;
    }

    @Override
    public void add(Tensor x, Tensor y, int rows) {
        ArrayTensor a = (ArrayTensor) x;
        for (int i = 0; i < rows * a.columns; i++) {
            a.data[i] += ((ArrayTensor) y).data[i];
        }
    }

    @Override
    public void gather(Tensor x, int[] rows, int count, Tensor out) {
        ArrayTensor from = (ArrayTensor) x;
        for (int i = 0; i < count; i++) {
            System.arraycopy(from.data, rows[i] * from.columns, ((ArrayTensor) out).data, i * from.columns, from.columns);
        }
    }

    @Override
    public void close() {}
}
