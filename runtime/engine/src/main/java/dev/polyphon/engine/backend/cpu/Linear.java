package dev.polyphon.engine.backend.cpu;

import dev.polyphon.engine.backend.Projection;
import java.util.List;

/**
 * Matrix products of activations with frozen matrices, panel by panel. One row is multiplied while the panel is decoded in registers; for more, a
 * stretch of the panel is decoded to f32 in the nearest cache, then used for all rows.
 */
final class Linear {
    /** Multiply-adds below which waking others costs more than it gives. */
    static final long SMALL = 60_000;
    /** Columns decoded at once: the stretch shares the nearest cache with a tile of inputs and outputs. */
    static final int STRETCH = 128;

    private final WorkerPool pool;
    private final Scratch[] scratch;

    Linear(WorkerPool pool, Scratch[] scratch) {
        this.pool = pool;
        this.scratch = scratch;
    }

    void linear(CpuTensor x, int firstRow, int rows, List<Projection> projections) {
        x.holding(firstRow, rows);
        if (rows == 0) {
            return;
        }
        int count = projections.size();
        int panels = 0;
        long work = 0;
        for (Projection p : projections) {
            Panels w = (Panels) p.weight();
            x.wide(w.in(), "the input of a linear layer");
            ((CpuTensor) p.out()).wide(w.out(), "the output of a linear layer").holding(firstRow, rows);
            if (p.bias() != null) {
                ((CpuTensor) p.bias()).wide(w.out(), "a bias").holding(0, 1);
            }
            work += (long) rows * w.out() * w.in();
            panels += w.count();
        }
        int chunk = chunk(panels, work);
        int[] firstPiece = new int[count + 1];
        for (int i = 0; i < count; i++) {
            firstPiece[i + 1] = firstPiece[i] + (((Panels) projections.get(i).weight()).count() + chunk - 1) / chunk;
        }
        pool.run(firstPiece[count], (worker, piece) -> {
            int i = 0;
            while (piece >= firstPiece[i + 1]) {
                i++;
            }
            Projection p = projections.get(i);
            Panels w = (Panels) p.weight();
            int from = (piece - firstPiece[i]) * chunk;
            for (int panel = from; panel < Math.min(from + chunk, w.count()); panel++) {
                project(p, panel, x, firstRow, rows, scratch[worker]);
            }
        });
    }

    /** Panels in a piece: several pieces for each thread, but none too small to be worth its turn. */
    private int chunk(int panels, long work) {
        long pieces = pool.threads() == 1 ? 1 : Math.min(8L * pool.threads(), Math.max(1, work / SMALL));
        return (int) Math.max(1, (panels + pieces - 1) / pieces);
    }

    private static void project(Projection p, int panel, CpuTensor x, int firstRow, int rows, Scratch scratch) {
        Panels w = (Panels) p.weight();
        CpuTensor out = (CpuTensor) p.out();
        int column = panel * Panels.WIDTH;
        int width = Math.min(Panels.WIDTH, w.out() - column);
        long bias = p.bias() == null ? 0 : ((CpuTensor) p.bias()).row(0) + 4L * column;
        long decoded = scratch.bytes(4L * Panels.WIDTH * (STRETCH + rows));
        boolean whole = width == Panels.WIDTH;
        // A panel that the matrix does not fill would write over what stands next to its columns.
        long sums = whole ? out.row(firstRow) + 4L * column : decoded + 4L * Panels.WIDTH * STRETCH;
        long sumBytes = whole ? out.rowBytes() : 4L * Panels.WIDTH;
        for (int r = 0; r < rows; r++) {
            start(bias, width, sums + r * sumBytes);
        }
        multiply(w, panel, x.row(firstRow), x.rowBytes(), rows, sums, sumBytes, decoded, scratch);
        for (int r = 0; r < rows && !whole; r++) {
            Lanes.copy(sums + r * sumBytes, out.row(firstRow + r) + 4L * column, 4L * width);
        }
    }

    private static void start(long bias, int width, long sums) {
        if (bias == 0) {
            Lanes.store(Lanes.zero(), sums);
            Lanes.store(Lanes.zero(), sums + 4L * Lanes.L);
        } else {
            Lanes.copy(bias, sums, 4L * width);
        }
    }

    /** {@code sums += x · panel} for all rows; {@code decoded} has room for a stretch. */
    static void multiply(Panels w, int panel, long x, long xBytes, int rows, long sums, long sumBytes, long decoded, Scratch scratch) {
        long at = w.at(panel);
        int step = rows == 1 ? Panels.MOST_COLUMNS : STRETCH;
        for (int k = 0; k < w.in(); k += step) {
            int length = Math.min(step, w.in() - k);
            if (rows == 1) {
                w.multiply(at, k, length, x + 4L * k, sums, scratch);
            } else {
                w.decode(at, k, length, decoded, scratch);
                Tiles.multiply(decoded, x + 4L * k, xBytes, rows, length, sums, sumBytes);
            }
        }
    }
}
