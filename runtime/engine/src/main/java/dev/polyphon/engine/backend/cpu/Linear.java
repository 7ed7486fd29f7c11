package dev.polyphon.engine.backend.cpu;

import dev.polyphon.engine.backend.Projection;
import java.util.Arrays;
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
        long decoded = scratch.bytes(4L * Panels.WIDTH * STRETCH);
        float[] sums = scratch.floats(rows * Panels.WIDTH);
        Arrays.fill(sums, 0, rows * Panels.WIDTH, 0);
        if (p.bias() != null) {
            for (int r = 0; r < rows; r++) {
                Lanes.read(((CpuTensor) p.bias()).row(0) + 4L * column, sums, r * Panels.WIDTH, width);
            }
        }
        multiply(w, panel, x.row(firstRow), x.rowBytes(), rows, sums, decoded, scratch);
        for (int r = 0; r < rows; r++) {
            put(sums, r * Panels.WIDTH, out.row(firstRow + r) + 4L * column, width);
        }
    }

    /** Stores the sums of one row and panel. */
    static void put(float[] sums, int at, long to, int width) {
        if (width == Panels.WIDTH) {
            Lanes.store(Lanes.load(sums, at), to);
            Lanes.store(Lanes.load(sums, at + Lanes.L), to + 4L * Lanes.L);
        } else {
            Lanes.write(sums, at, to, width);
        }
    }

    /** {@code sums[r][j] += x · panel} for all rows, {@link Panels#WIDTH} apart; {@code decoded} has room for a stretch. */
    static void multiply(Panels w, int panel, long x, long xBytes, int rows, float[] sums, long decoded, Scratch scratch) {
        long at = w.at(panel);
        int step = rows == 1 ? Panels.MOST_COLUMNS : STRETCH;
        for (int k = 0; k < w.in(); k += step) {
            int length = Math.min(step, w.in() - k);
            if (rows == 1) {
                w.multiply(at, k, length, x + 4L * k, sums, 0, scratch);
            } else {
                w.decode(at, k, length, decoded, scratch);
                Tiles.multiply(decoded, x + 4L * k, xBytes, rows, length, sums, 0);
            }
        }
    }
}
