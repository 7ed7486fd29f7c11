package dev.polyphon.engine.backend.cpu;

import dev.polyphon.engine.backend.Activation;
import dev.polyphon.engine.backend.NormKind;
import jdk.incubator.vector.FloatVector;

/** Operations on single rows. */
final class Pointwise {
    /** Elements below which waking others costs more than it gives. */
    private static final long SMALL = 16_000;

    private final WorkerPool pool;

    Pointwise(WorkerPool pool) {
        this.pool = pool;
    }

    @FunctionalInterface
    private interface RowWork {
        void run(int row);
    }

    private void rows(int rows, int columns, RowWork work) {
        long elements = (long) rows * columns;
        int chunk = elements < SMALL ? Math.max(1, rows) : (int) Math.max(1, Math.min(rows / (4L * pool.threads()), SMALL / columns));
        pool.run((rows + chunk - 1) / chunk, (worker, piece) -> {
            for (int r = piece * chunk; r < Math.min(rows, (piece + 1) * chunk); r++) {
                work.run(r);
            }
        });
    }

    void embed(CpuRows table, int[] ids, int rows, float scale, CpuTensor out) {
        table.open();
        out.wide(table.in(), "the output of an embedding").holding(0, rows);
        for (int r = 0; r < rows; r++) {
            if (ids[r] < 0 || ids[r] >= table.out()) {
                throw new IndexOutOfBoundsException("token " + ids[r] + " of a table of " + table.out());
            }
        }
        rows(rows, table.in(), r -> {
            table.decode(ids[r], out.row(r));
            if (scale != 1) {
                for (int c = 0; c < table.in(); c += Lanes.L) {
                    storeUpTo(Lanes.load(out.row(r) + 4L * c).mul(scale), out.row(r), c, table.in());
                }
            }
        });
    }

    void norm(NormKind kind, float epsilon, CpuTensor weight, CpuTensor bias, int group, CpuTensor x, int rows, CpuTensor out) {
        int columns = x.columns();
        if (group < 1 || columns % group != 0) {
            throw new IllegalArgumentException("groups of " + group + " do not divide " + columns + " columns");
        }
        x.holding(0, rows);
        out.wide(columns, "the output of a norm").holding(0, rows);
        long w = weight == null ? 0 : weight.wide(group, "a norm's weight").row(0);
        long b = bias == null ? 0 : bias.wide(group, "a norm's bias").row(0);
        rows(rows, columns, r -> {
            for (int start = 0; start < columns; start += group) {
                norm(kind, epsilon, w, b, group, x.row(r) + 4L * start, out.row(r) + 4L * start);
            }
        });
    }

    private static void norm(NormKind kind, float epsilon, long weight, long bias, int n, long x, long out) {
        FloatVector mean = Lanes.all(kind == NormKind.LAYER ? sum(x, n, null) / n : 0);
        float variance = sum(x, n, mean) / n;
        FloatVector scale = Lanes.all((float) (1 / Math.sqrt(variance + epsilon)));
        for (int i = 0; i < n; i += Lanes.L) {
            storeUpTo(normed(mean, scale, weight, bias, x, i), out, i, n);
        }
    }

    /** Stores the lanes that belong to columns under {@code end}. */
    private static void storeUpTo(FloatVector v, long row, int column, int end) {
        if (end - column >= Lanes.L) {
            Lanes.store(v, row + 4L * column);
        } else {
            Lanes.storeFirst(v, row + 4L * column, end - column);
        }
    }

    private static FloatVector normed(FloatVector mean, FloatVector scale, long weight, long bias, long x, int i) {
        FloatVector v = Lanes.load(x + 4L * i).sub(mean).mul(scale);
        if (weight != 0) {
            v = v.mul(Lanes.load(weight + 4L * i));
        }
        return bias == 0 ? v : v.add(Lanes.load(bias + 4L * i));
    }

    /** Sum of the elements or, with a mean, of their squared distances from it. */
    private static float sum(long x, int n, FloatVector mean) {
        FloatVector sum = Lanes.zero();
        int i = 0;
        for (; i <= n - Lanes.L; i += Lanes.L) {
            FloatVector v = Lanes.load(x + 4L * i);
            if (mean == null) {
                sum = sum.add(v);
            } else {
                v = v.sub(mean);
                sum = v.fma(v, sum);
            }
        }
        if (i < n) {
            FloatVector v = Lanes.load(x + 4L * i);
            v = mean == null ? v : v.sub(mean);
            sum = sum.add(Lanes.first(mean == null ? v : v.mul(v), n - i));
        }
        return Lanes.sum(sum);
    }

    void rotary(CpuRotaryTable table, boolean interleaved, CpuTensor x, int rows, int headDim, int[] positions) {
        x.holding(0, rows);
        int pairs = table.pairs();
        if (headDim < 2 * pairs || x.columns() % headDim != 0) {
            throw new IllegalArgumentException(pairs + " pairs in heads of " + headDim + " in rows of " + x.columns() + " columns");
        }
        for (int r = 0; r < rows; r++) {
            if (positions[r] < 0 || positions[r] >= table.positions()) {
                throw new IndexOutOfBoundsException("position " + positions[r] + " of a rotary table of " + table.positions());
            }
        }
        rows(rows, x.columns(), r -> {
            long cos = table.cos(positions[r]);
            long sin = table.sin(positions[r]);
            for (int start = 0; start < x.columns(); start += headDim) {
                long head = x.row(r) + 4L * start;
                if (interleaved) {
                    rotateNeighbours(head, cos, sin, pairs);
                } else {
                    rotateHalves(head, head + 4L * pairs, cos, sin, pairs);
                }
            }
        });
    }

    private static void rotateNeighbours(long head, long cos, long sin, int pairs) {
        for (int i = 0; i < pairs; i++) {
            rotate(head + 8L * i, head + 8L * i + 4, cos + 4L * i, sin + 4L * i);
        }
    }

    private static void rotateHalves(long first, long second, long cos, long sin, int pairs) {
        int i = 0;
        for (; i <= pairs - Lanes.L; i += Lanes.L) {
            FloatVector a = Lanes.load(first + 4L * i);
            FloatVector b = Lanes.load(second + 4L * i);
            FloatVector c = Lanes.load(cos + 4L * i);
            FloatVector s = Lanes.load(sin + 4L * i);
            Lanes.store(a.fma(c, b.mul(s).neg()), first + 4L * i);
            Lanes.store(b.fma(c, a.mul(s)), second + 4L * i);
        }
        for (; i < pairs; i++) {
            rotate(first + 4L * i, second + 4L * i, cos + 4L * i, sin + 4L * i);
        }
    }

    private static void rotate(long first, long second, long cos, long sin) {
        float a = Lanes.get(first);
        float b = Lanes.get(second);
        float c = Lanes.get(cos);
        float s = Lanes.get(sin);
        Lanes.set(first, Math.fma(a, c, -(b * s)));
        Lanes.set(second, Math.fma(b, c, a * s));
    }

    void activate(Activation f, CpuTensor gate, CpuTensor up, int rows, CpuTensor out) {
        int columns = gate.columns();
        gate.holding(0, rows);
        out.wide(columns, "the output of an activation").holding(0, rows);
        if (up != null) {
            up.wide(columns, "the up projection").holding(0, rows);
        }
        rows(rows, columns, r -> {
            for (int c = 0; c < columns; c += Lanes.L) {
                FloatVector v = apply(f, Lanes.load(gate.row(r) + 4L * c));
                if (up != null) {
                    v = v.mul(Lanes.load(up.row(r) + 4L * c));
                }
                storeUpTo(v, out.row(r), c, columns);
            }
        });
    }

    private static FloatVector apply(Activation f, FloatVector x) {
        return switch (f) {
            case SILU -> x.mul(VectorMath.sigmoid(x));
            case GELU -> VectorMath.gelu(x);
            case GELU_TANH -> VectorMath.geluTanh(x);
            case RELU -> x.max(0f);
            case QUICK_GELU -> x.mul(VectorMath.sigmoid(x.mul(1.702f)));
            case TANH -> VectorMath.tanh(x);
        };
    }

    void add(CpuTensor x, CpuTensor y, int rows) {
        int columns = x.columns();
        x.holding(0, rows);
        y.wide(columns, "a summand").holding(0, rows);
        rows(rows, columns, r -> {
            for (int c = 0; c < columns; c += Lanes.L) {
                FloatVector sum = Lanes.load(x.row(r) + 4L * c).add(Lanes.load(y.row(r) + 4L * c));
                Lanes.store(sum, x.row(r) + 4L * c);
            }
        });
    }

    void gather(CpuTensor x, int[] rows, int count, CpuTensor out) {
        out.wide(x.columns(), "the output of a gather").holding(0, count);
        for (int i = 0; i < count; i++) {
            x.holding(rows[i], 1);
            Lanes.copy(x.row(rows[i]), out.row(i), 4L * x.columns());
        }
    }
}
