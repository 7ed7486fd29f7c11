package dev.polyphon.engine.backend.cpu;

import dev.polyphon.engine.backend.LowRank;
import dev.polyphon.engine.backend.Projection;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.List;

/**
 * Matrix products of activations with frozen matrices and with the low-rank deltas of adapters, panel by panel. By machine code, quantised panels are
 * multiplied with inputs quantised to 16 bits, which are made first.
 *
 * <p>Deltas that many rows share are added to a panel's sums while these are at hand; the inputs are shrunk before. Deltas of single rows among others
 * are added to the outputs when all panels are multiplied, because then their factors have been fetched meanwhile. Where there is but one row, memory is busy
 * with the panels themselves: its deltas are added by each piece to its own outputs, so that nobody waits for all.
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
    private static final VarHandle READY;

    static {
        try {
            READY = MethodHandles.lookup().findVarHandle(Linear.class, "ready", int.class);
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    private final WorkerPool pool;
    private final Scratch[] scratch;
    private final LowRankDeltas lowRank = new LowRankDeltas();
    private NativeMemory quantised = new NativeMemory(1 << 16);
    /** Pieces of the job that are done and that others of it wait for. */
    private int ready;

    /**
     * One operation, as its pieces see it.
     *
     * @param firstPanel of each projection, how many panels those before it have; and of all as last entry
     * @param firstPiece of each projection, how many pieces those before it have; and of all as last entry
     * @param chunk panels in a piece
     */
    private record Operation(CpuTensor x, int firstRow, int rows, List<Projection> projections, int[] firstPanel, int[] firstPiece, int chunk) {
        static Operation of(CpuTensor x, int firstRow, int rows, List<Projection> projections, int[] firstPanel, int chunk) {
            int[] firstPiece = new int[firstPanel.length];
            for (int i = 0; i + 1 < firstPanel.length; i++) {
                firstPiece[i + 1] = firstPiece[i] + (firstPanel[i + 1] - firstPanel[i] + chunk - 1) / chunk;
            }
            return new Operation(x, firstRow, rows, projections, firstPanel, firstPiece, chunk);
        }

        int pieces() {
            return firstPiece[projections.size()];
        }

        int panels() {
            return firstPanel[projections.size()];
        }

        int projection(int piece) {
            int i = 0;
            while (piece >= firstPiece[i + 1]) {
                i++;
            }
            return i;
        }

        /** A piece's first panel of its projection. */
        int from(int i, int piece) {
            return (piece - firstPiece[i]) * chunk;
        }

        int to(int i, int piece) {
            return Math.min(from(i, piece) + chunk, firstPanel[i + 1] - firstPanel[i]);
        }
    }

    Linear(WorkerPool pool, Scratch[] scratch) {
        this.pool = pool;
        this.scratch = scratch;
    }

    void linear(CpuTensor x, int firstRow, int rows, List<Projection> projections, List<LowRank> deltas) {
        x.holding(firstRow, rows);
        int count = projections.size();
        int[] firstPanel = new int[count + 1];
        int words = 0;
        long work = 0;
        for (int i = 0; i < count; i++) {
            Projection p = projections.get(i);
            Panels w = (Panels) p.weight();
            x.wide(w.in(), "the input of a linear layer");
            ((CpuTensor) p.out()).wide(w.out(), "the output of a linear layer").holding(firstRow, rows);
            if (p.bias() != null) {
                ((CpuTensor) p.bias()).wide(w.out(), "a bias").holding(0, 1);
            }
            work += (long) rows * w.out() * w.in();
            firstPanel[i + 1] = firstPanel[i] + w.count();
            if (w instanceof WordPanels) {
                words = w.in();
            }
        }
        boolean later = lowRank.prepare(x, deltas, projections);
        if (rows == 0) {
            return;
        }
        if (words > 0) {
            quantise(x, firstRow, rows, words);
        }
        Operation operation = Operation.of(x, firstRow, rows, projections, firstPanel, chunk(firstPanel[count], work));
        if (later && rows > 1) {
            multiplyThenAdd(operation);
        } else {
            multiplyAndAdd(operation);
        }
    }

    private void multiplyAndAdd(Operation operation) {
        ready = 0;
        int shrinks = lowRank.pieces();
        pool.run(shrinks + operation.pieces(), (worker, piece) -> {
            if (piece < shrinks) {
                shrink(piece, scratch[worker]);
            } else {
                multiply(operation, piece - shrinks, false, shrinks, scratch[worker]);
            }
        });
    }

    private void multiplyThenAdd(Operation operation) {
        ready = 0;
        int pieces = operation.pieces();
        int before = pieces + lowRank.pieces();
        pool.run(before + pieces, (worker, piece) -> {
            if (piece < pieces) {
                try {
                    multiply(operation, piece, true, 0, scratch[worker]);
                } finally {
                    READY.getAndAdd(this, 1);
                }
            } else if (piece < before) {
                shrink(piece - pieces, scratch[worker]);
            } else {
                await(before);
                add(operation, piece - before, scratch[worker]);
            }
        });
    }

    /** Low-rank deltas of outputs that are there already. */
    void add(CpuTensor x, List<LowRank> deltas) {
        lowRank.prepare(x, deltas);
        ready = 0;
        int shrinks = lowRank.pieces();
        pool.run(shrinks + deltas.size(), (worker, piece) -> {
            if (piece < shrinks) {
                shrink(piece, scratch[worker]);
                return;
            }
            await(shrinks);
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

    private void shrink(int piece, Scratch scratch) {
        try {
            lowRank.shrink(piece, scratch);
        } finally {
            READY.getAndAdd(this, 1);
        }
    }

    /** Waits for those who took the last of the pieces that come before; as pieces are taken in order, all are taken. */
    private void await(int pieces) {
        while ((int) READY.getAcquire(this) < pieces) {
            Thread.onSpinWait();
        }
    }

    private void quantise(CpuTensor x, int firstRow, int rows, int columns) {
        long bytes = QuantisedRows.bytes(rows, columns);
        if (quantised.bytes() < bytes) {
            quantised.close();
            quantised = new NativeMemory(bytes * 3 / 2);
        }
        long to = quantised.address();
        int chunk = Math.max(1, QUANTISED_AT_ONCE / columns);
        pool.run((rows + chunk - 1) / chunk, (_, piece) -> {
            for (int r = piece * chunk; r < Math.min(rows, (piece + 1) * chunk); r++) {
                QuantisedRows.quantise(x.row(firstRow + r), columns, to + (long) r * QuantisedRows.RECORD, (long) rows * QuantisedRows.RECORD);
            }
        });
    }

    /** Panels in a piece: several pieces for each thread, but none too small to be worth its turn. */
    private int chunk(int panels, long work) {
        long pieces = pool.threads() == 1 ? 1 : Math.min(8L * pool.threads(), Math.max(1, work / SMALL));
        return (int) Math.max(1, (panels + pieces - 1) / pieces);
    }

    /**
     * @param later whether deltas are added afterwards, and their factors fetched now
     * @param before how many pieces are waited for before deltas are added
     */
    private void multiply(Operation operation, int piece, boolean later, int before, Scratch scratch) {
        int i = operation.projection(piece);
        for (int row = 0; row < operation.rows; row += ROWS) {
            int rows = Math.min(ROWS, operation.rows - row);
            for (int panel = operation.from(i, piece); panel < operation.to(i, piece); panel++) {
                long sums = scratch.bytes((rows + Panels.SPARE_ROWS) * SUMS);
                multiply(operation, i, panel, row, rows, later, sums, scratch);
                if (!later) {
                    await(before);
                    lowRank.expand(operation.projections.get(i), panel, operation.firstRow + row, rows, sums, scratch);
                }
                put(operation, i, panel, row, rows, sums);
            }
        }
        if (!later) {
            int from = operation.from(i, piece);
            lowRank.expandRows(i, from, operation.to(i, piece) - from);
        }
    }

    /** One panel's sums for some rows, counted from the operation's first. */
    private void multiply(Operation operation, int i, int panel, int row, int rows, boolean later, long sums, Scratch scratch) {
        Projection p = operation.projections.get(i);
        Panels w = (Panels) p.weight();
        CpuTensor bias = (CpuTensor) p.bias();
        int column = panel * Panels.WIDTH;
        int width = Math.min(Panels.WIDTH, w.out() - column);
        Lanes.clear(sums, rows * SUMS);
        for (int r = 0; bias != null && r < rows; r++) {
            Lanes.copy(bias.row(0) + 4L * column, sums + r * SUMS, 4L * width);
        }
        if (w instanceof WordPanels words) {
            long ahead = 0;
            if (later) {
                int blocks = words.blocksAhead(rows);
                ahead = scratch.blocks(blocks);
                lowRank.ahead(i, panel, operation.firstPanel[i] + panel, operation.panels(), ahead, blocks);
            }
            long record = QuantisedRows.RECORD;
            words.multiply(panel, quantised.address() + row * record, operation.rows * record, rows, sums, ahead, scratch);
        } else {
            w.multiply(panel, operation.x.row(operation.firstRow + row), operation.x.rowBytes(), rows, sums, scratch);
        }
    }

    /** Adds deltas to a piece's outputs. */
    private void add(Operation operation, int piece, Scratch scratch) {
        int i = operation.projection(piece);
        int from = operation.from(i, piece);
        int to = operation.to(i, piece);
        lowRank.expandRows(i, from, to - from);
        Projection p = operation.projections.get(i);
        if (!lowRank.hasOthers(p)) {
            return;
        }
        CpuTensor out = (CpuTensor) p.out();
        for (int row = 0; row < operation.rows; row += ROWS) {
            int rows = Math.min(ROWS, operation.rows - row);
            int first = operation.firstRow + row;
            long sums = scratch.bytes(rows * SUMS);
            for (int panel = from; panel < to; panel++) {
                long bytes = 4L * Math.min(Panels.WIDTH, p.weight().out() - panel * Panels.WIDTH);
                for (int r = 0; r < rows; r++) {
                    Lanes.copy(out.row(first + r) + panel * SUMS, sums + r * SUMS, bytes);
                }
                lowRank.expand(p, panel, first, rows, sums, scratch);
                put(operation, i, panel, row, rows, sums);
            }
        }
    }

    private static void put(Operation operation, int i, int panel, int row, int rows, long sums) {
        CpuTensor out = (CpuTensor) operation.projections.get(i).out();
        int width = Math.min(Panels.WIDTH, operation.projections.get(i).weight().out() - panel * Panels.WIDTH);
        for (int r = 0; r < rows; r++) {
            put(sums + r * SUMS, out.row(operation.firstRow + row + r) + panel * SUMS, width);
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
