package dev.polyphon.engine.backend.cpu;

import dev.polyphon.engine.backend.LowRank;
import dev.polyphon.engine.backend.Projection;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.List;

/**
 * Matrix products of activations with frozen matrices and with the low-rank deltas of adapters, panel by panel. By machine code, quantised panels are
 * multiplied with inputs quantised to 16 bits, which are made first.
 */
final class Linear implements AutoCloseable {
    /** Multiply-adds below which waking others costs more than it gives. */
    private static final long SMALL = 60_000;
    /** Rows multiplied with a panel before the next one is taken, so that they stay in a core's own cache. */
    private static final int ROWS = 128;
    /** Elements quantised in one piece. */
    private static final int QUANTISED_AT_ONCE = 4_000;
    /** Bytes of a row of a panel's sums. */
    private static final long SUMS = 4L * Panels.WIDTH;
    private static final VarHandle SHRUNK;

    static {
        try {
            SHRUNK = MethodHandles.lookup().findVarHandle(Linear.class, "shrunk", int.class);
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    private final WorkerPool pool;
    private final Scratch[] scratch;
    private final LowRankDeltas lowRank = new LowRankDeltas();
    private NativeMemory quantised = new NativeMemory(1 << 16);
    /** Pieces of {@link LowRankDeltas#shrink} that are done. */
    private int shrunk;

    Linear(WorkerPool pool, Scratch[] scratch) {
        this.pool = pool;
        this.scratch = scratch;
    }

    void linear(CpuTensor x, int firstRow, int rows, List<Projection> projections, List<LowRank> deltas) {
        x.holding(firstRow, rows);
        int count = projections.size();
        int panels = 0;
        int words = 0;
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
            if (w instanceof WordPanels) {
                words = w.in();
            }
        }
        lowRank.prepare(x, deltas);
        if (rows == 0) {
            return;
        }
        if (words > 0) {
            quantise(x, firstRow, rows, words);
        }
        int chunk = chunk(panels, work);
        int shrinks = startShrinking();
        int[] firstPiece = new int[count + 1];
        firstPiece[0] = shrinks;
        for (int i = 0; i < count; i++) {
            firstPiece[i + 1] = firstPiece[i] + (((Panels) projections.get(i).weight()).count() + chunk - 1) / chunk;
        }
        pool.run(firstPiece[count], (worker, piece) -> {
            if (piece < shrinks) {
                shrink(piece, scratch[worker]);
                return;
            }
            int i = 0;
            while (piece >= firstPiece[i + 1]) {
                i++;
            }
            Projection p = projections.get(i);
            int from = (piece - firstPiece[i]) * chunk;
            int to = Math.min(from + chunk, ((Panels) p.weight()).count());
            for (int row = 0; row < rows; row += ROWS) {
                for (int panel = from; panel < to; panel++) {
                    project(p, panel, x, firstRow, row, Math.min(ROWS, rows - row), deltas.size(), shrinks, scratch[worker]);
                }
            }
        });
    }

    /** Low-rank deltas of outputs that are there already. */
    void add(CpuTensor x, List<LowRank> deltas) {
        lowRank.prepare(x, deltas);
        int shrinks = startShrinking();
        pool.run(shrinks + deltas.size(), (worker, piece) -> {
            if (piece < shrinks) {
                shrink(piece, scratch[worker]);
                return;
            }
            awaitShrinking(shrinks);
            add(piece - shrinks, deltas.get(piece - shrinks), scratch[worker]);
        });
    }

    private void add(int i, LowRank item, Scratch scratch) {
        CpuTensor out = (CpuTensor) item.out();
        int panels = ((Panels) item.b()).count();
        for (int row = item.firstRow(); row < item.firstRow() + item.rows(); row += ROWS) {
            int rows = Math.min(ROWS, item.firstRow() + item.rows() - row);
            long sums = scratch.bytes(rows * SUMS);
            for (int panel = 0; panel < panels; panel++) {
                int column = panel * Panels.WIDTH;
                int width = Math.min(Panels.WIDTH, item.b().out() - column);
                for (int r = 0; r < rows; r++) {
                    Lanes.copy(out.row(row + r) + 4L * column, sums + r * SUMS, 4L * width);
                }
                lowRank.expand(i, panel, row, rows, sums, scratch);
                for (int r = 0; r < rows; r++) {
                    Lanes.copy(sums + r * SUMS, out.row(row + r) + 4L * column, 4L * width);
                }
            }
        }
    }

    /** How many pieces of shrinking are to be run with, and before, the next job's pieces; small work is done at once. */
    private int startShrinking() {
        shrunk = 0;
        int pieces = lowRank.pieces();
        if (lowRank.work() >= SMALL) {
            return pieces;
        }
        for (int i = 0; i < pieces; i++) {
            lowRank.shrink(i, scratch[0]);
        }
        return 0;
    }

    private void shrink(int piece, Scratch scratch) {
        try {
            lowRank.shrink(piece, scratch);
        } finally {
            SHRUNK.getAndAdd(this, 1);
        }
    }

    /** Waits for those who took the last pieces of shrinking; as pieces are taken in order, all are taken. */
    private void awaitShrinking(int pieces) {
        while ((int) SHRUNK.getAcquire(this) < pieces) {
            Thread.onSpinWait();
        }
    }

    private void quantise(CpuTensor x, int firstRow, int rows, int columns) {
        long rowBytes = QuantisedRows.rowBytes(columns);
        if (quantised.bytes() < rows * rowBytes) {
            quantised.close();
            quantised = new NativeMemory(rows * rowBytes * 3 / 2);
        }
        long to = quantised.address();
        int chunk = Math.max(1, QUANTISED_AT_ONCE / columns);
        pool.run((rows + chunk - 1) / chunk, (_, piece) -> {
            for (int r = piece * chunk; r < Math.min(rows, (piece + 1) * chunk); r++) {
                QuantisedRows.quantise(x.row(firstRow + r), columns, to + r * rowBytes);
            }
        });
    }

    /** Panels in a piece: several pieces for each thread, but none too small to be worth its turn. */
    private int chunk(int panels, long work) {
        long pieces = pool.threads() == 1 ? 1 : Math.min(8L * pool.threads(), Math.max(1, work / SMALL));
        return (int) Math.max(1, (panels + pieces - 1) / pieces);
    }

    /** One panel's outputs for some rows, counted from the operation's first. */
    private void project(Projection p, int panel, CpuTensor x, int firstRow, int row, int rows, int deltas, int shrinks, Scratch scratch) {
        Panels w = (Panels) p.weight();
        CpuTensor bias = (CpuTensor) p.bias();
        CpuTensor out = (CpuTensor) p.out();
        int column = panel * Panels.WIDTH;
        int width = Math.min(Panels.WIDTH, w.out() - column);
        int first = firstRow + row;
        long sums = scratch.bytes(rows * SUMS);
        Lanes.fill(sums, rows * SUMS);
        for (int r = 0; bias != null && r < rows; r++) {
            Lanes.copy(bias.row(0) + 4L * column, sums + r * SUMS, 4L * width);
        }
        if (w instanceof WordPanels) {
            long rowBytes = QuantisedRows.rowBytes(w.in());
            w.multiply(panel, quantised.address() + row * rowBytes, rowBytes, rows, sums, scratch);
        } else {
            w.multiply(panel, x.row(first), x.rowBytes(), rows, sums, scratch);
        }
        awaitShrinking(deltas == 0 ? 0 : shrinks);
        for (int i = 0; i < deltas; i++) {
            if (lowRank.addsTo(i, out)) {
                lowRank.expand(i, panel, first, rows, sums, scratch);
            }
        }
        for (int r = 0; r < rows; r++) {
            put(sums + r * SUMS, out.row(first + r) + 4L * column, width);
        }
    }

    /** Stores the sums of one row and panel. */
    static void put(long sums, long to, int width) {
        if (width == Panels.WIDTH) {
            Lanes.store(Lanes.load(sums), to);
            Lanes.store(Lanes.load(sums + SUMS / 2), to + SUMS / 2);
        } else {
            Lanes.copy(sums, to, 4L * width);
        }
    }

    @Override
    public void close() {
        quantised.close();
        lowRank.close();
    }
}
