package dev.polyphon.engine.backend.cpu;

import dev.polyphon.engine.backend.LowRank;
import java.util.List;

/** The low-rank deltas of many adapters at once. */
final class LowRankDeltas {
    private final WorkerPool pool;
    private final Scratch[] scratch;

    LowRankDeltas(WorkerPool pool, Scratch[] scratch) {
        this.pool = pool;
        this.scratch = scratch;
    }

    void add(CpuTensor x, List<LowRank> items) {
        long work = 0;
        for (LowRank item : items) {
            CpuRows a = ((CpuRows) item.a()).open();
            Panels b = (Panels) item.b();
            if (a.out() != b.in()) {
                throw new IllegalArgumentException("a low-rank pair of ranks " + a.out() + " and " + b.in());
            }
            x.wide(a.in(), "the input of a low-rank pair").holding(item.firstRow(), item.rows());
            ((CpuTensor) item.out()).wide(b.out(), "the output of a low-rank pair").holding(item.firstRow(), item.rows());
            work += (long) item.rows() * a.out() * (a.in() + b.out());
        }
        if (work < Linear.SMALL) {
            for (LowRank item : items) {
                add(x, item, scratch[0]);
            }
        } else {
            pool.run(items.size(), (worker, piece) -> add(x, items.get(piece), scratch[worker]));
        }
    }

    private static void add(CpuTensor x, LowRank item, Scratch scratch) {
        if (item.rows() == 0) {
            return;
        }
        CpuRows a = (CpuRows) item.a();
        Panels b = (Panels) item.b();
        CpuTensor out = (CpuTensor) item.out();
        int rank = a.out();
        int in = a.in();
        int rows = item.rows();
        long rankBytes = 4L * (rank + Dot.TILE - 1 & -Dot.TILE);
        long inBytes = 4L * Lanes.roundUp(in);
        long decoded = scratch.bytes(Dot.TILE * inBytes + (rows + 4) * rankBytes + 4L * Panels.WIDTH * Linear.STRETCH);
        long shrunk = decoded + Dot.TILE * inBytes;
        long stretch = shrunk + (rows + 4) * rankBytes;
        for (int r = 0; r < rank; r += Dot.TILE) {
            for (int i = 0; i < Dot.TILE; i++) {
                a.decode(Math.min(r + i, rank - 1), decoded + i * inBytes);
                for (int c = in; c < Lanes.roundUp(in); c++) {
                    Lanes.set(decoded + i * inBytes + 4L * c, 0);
                }
            }
            Dot.multiply(decoded, inBytes, x.row(item.firstRow()), x.rowBytes(), rows, in, shrunk + 4L * r, rankBytes);
        }
        for (int row = 0; row < rows; row++) {
            for (int r = 0; r < rank; r++) {
                long at = shrunk + row * rankBytes + 4L * r;
                Lanes.set(at, Lanes.get(at) * item.scale());
            }
        }
        float[] sums = scratch.floats(rows * Panels.WIDTH);
        for (int panel = 0; panel < b.count(); panel++) {
            int column = panel * Panels.WIDTH;
            int width = Math.min(Panels.WIDTH, b.out() - column);
            for (int row = 0; row < rows; row++) {
                take(sums, row * Panels.WIDTH, out.row(item.firstRow() + row) + 4L * column, width);
            }
            Linear.multiply(b, panel, shrunk, rankBytes, rows, sums, stretch, scratch);
            for (int row = 0; row < rows; row++) {
                Linear.put(sums, row * Panels.WIDTH, out.row(item.firstRow() + row) + 4L * column, width);
            }
        }
    }

    private static void take(float[] sums, int at, long from, int width) {
        if (width == Panels.WIDTH) {
            Lanes.store(Lanes.load(from), sums, at);
            Lanes.store(Lanes.load(from + 4L * Lanes.L), sums, at + Lanes.L);
        } else {
            Lanes.read(from, sums, at, width);
        }
    }
}
