package dev.polyphon.engine.backend.cpu;

import dev.polyphon.engine.backend.LowRank;
import dev.polyphon.engine.backend.Projection;
import java.util.List;

/** Matrix products of activations with frozen matrices: a few rows of the matrix are decoded to f32 in cache, then used for all rows of the batch. */
final class Linear {
    /** Multiply-adds below which waking others costs more than it gives. */
    private static final long SMALL = 40_000;

    private final WorkerPool pool;
    private final Scratch[] scratch;

    Linear(WorkerPool pool, Scratch[] scratch) {
        this.pool = pool;
        this.scratch = scratch;
    }

    void linear(CpuTensor x, int firstRow, int rows, List<Projection> projections) {
        x.holding(firstRow, rows);
        int count = projections.size();
        int[] firstPiece = new int[count + 1];
        long work = 0;
        int allOut = 0;
        for (Projection p : projections) {
            CpuWeight w = ((CpuWeight) p.weight()).open();
            x.wide(w.in(), "the input of a linear layer");
            ((CpuTensor) p.out()).wide(w.out(), "the output of a linear layer").holding(firstRow, rows);
            if (p.bias() != null) {
                ((CpuTensor) p.bias()).wide(w.out(), "a bias").holding(0, 1);
            }
            work += (long) rows * w.out() * w.in();
            allOut += w.out();
        }
        int chunk = chunk(allOut, work);
        for (int i = 0; i < count; i++) {
            firstPiece[i + 1] = firstPiece[i] + (projections.get(i).weight().out() + chunk - 1) / chunk;
        }
        pool.run(rows == 0 ? 0 : firstPiece[count], (worker, piece) -> {
            int i = 0;
            while (piece >= firstPiece[i + 1]) {
                i++;
            }
            Projection p = projections.get(i);
            int from = (piece - firstPiece[i]) * chunk;
            int to = Math.min(from + chunk, p.weight().out());
            CpuTensor out = (CpuTensor) p.out();
            CpuTensor bias = (CpuTensor) p.bias();
            product((CpuWeight) p.weight(), from, to, x.row(firstRow), x.rowBytes(), rows, scratch[worker], (row, column, sum) -> {
                float b = bias == null ? 0 : Lanes.get(bias.row(0) + 4L * column);
                Lanes.set(out.row(firstRow + row) + 4L * column, sum + b);
            });
        });
    }

    void lowRank(CpuTensor x, List<LowRank> items) {
        long work = 0;
        for (LowRank item : items) {
            CpuWeight a = ((CpuWeight) item.a()).open();
            CpuWeight b = ((CpuWeight) item.b()).open();
            if (a.out() != b.in()) {
                throw new IllegalArgumentException("a low-rank pair of ranks " + a.out() + " and " + b.in());
            }
            x.wide(a.in(), "the input of a low-rank pair").holding(item.firstRow(), item.rows());
            ((CpuTensor) item.out()).wide(b.out(), "the output of a low-rank pair").holding(item.firstRow(), item.rows());
            work += (long) item.rows() * a.out() * (a.in() + b.out());
        }
        int at = 0;
        while (work < SMALL && at < items.size()) {
            lowRank(x, items.get(at++), scratch[0]);
        }
        int from = at;
        pool.run(items.size() - from, (worker, piece) -> lowRank(x, items.get(from + piece), scratch[worker]));
    }

    private static void lowRank(CpuTensor x, LowRank item, Scratch scratch) {
        CpuWeight a = (CpuWeight) item.a();
        CpuWeight b = (CpuWeight) item.b();
        CpuTensor out = (CpuTensor) item.out();
        int rank = a.out();
        long stride = 4L * Lanes.roundUp(rank);
        try (NativeMemory shrunk = new NativeMemory(item.rows() * stride)) {
            long s = shrunk.address();
            product(a, 0, rank, x.row(item.firstRow()), x.rowBytes(), item.rows(), scratch,
                    (row, column, sum) -> Lanes.set(s + row * stride + 4L * column, sum));
            product(b, 0, b.out(), s, stride, item.rows(), scratch, (row, column, sum) -> {
                long o = out.row(item.firstRow() + row) + 4L * column;
                Lanes.set(o, Math.fma(item.scale(), sum, Lanes.get(o)));
            });
        }
    }

    /** Rows of the matrices in a piece: several pieces for each thread, but none too small to be worth its turn. */
    private int chunk(int allOut, long work) {
        long pieces = Math.min(pool.threads() == 1 ? 1 : 8L * pool.threads(), Math.max(1, work / SMALL));
        int chunk = (int) Math.max(Dot.TILE, (allOut + pieces - 1) / pieces);
        return chunk + Dot.TILE - 1 & -Dot.TILE;
    }

    @FunctionalInterface
    private interface Sink {
        void accept(int row, int column, float sum);
    }

    /** Products of rows {@code from} to {@code to} of a matrix with all rows of the input. */
    private static void product(CpuWeight w, int from, int to, long x, long xBytes, int rows, Scratch scratch, Sink sink) {
        int in = w.in();
        int tile = Dot.TILE;
        long stride = 4L * Lanes.roundUp(in);
        long decoded = scratch.bytes(tile * stride + 64);
        float[] sums = scratch.floats(tile * 4);
        for (int o = from; o < to; o += tile) {
            int real = Math.min(tile, to - o);
            for (int i = 0; i < real; i++) {
                w.decodeRow(o + i, decoded + i * stride);
                for (int c = in; c < Lanes.roundUp(in); c++) {
                    Lanes.set(decoded + i * stride + 4L * c, 0);
                }
            }
            int r = 0;
            for (; r + 4 <= rows; r += 4) {
                Dot.tile4(decoded, stride, x + r * xBytes, xBytes, in, sums, 0);
                for (int i = 0; i < 4; i++) {
                    for (int j = 0; j < real; j++) {
                        sink.accept(r + i, o + j, sums[4 * i + j]);
                    }
                }
            }
            for (; r < rows; r++) {
                Dot.tile(decoded, stride, x + r * xBytes, in, sums, 0);
                for (int j = 0; j < real; j++) {
                    sink.accept(r, o + j, sums[j]);
                }
            }
        }
    }
}
