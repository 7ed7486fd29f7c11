package dev.polyphon.engine.backend.cpu;

import dev.polyphon.engine.backend.LowRank;
import dev.polyphon.engine.backend.Projection;
import dev.polyphon.engine.backend.cpu.TileCode.Floats;
import java.util.Arrays;
import java.util.List;

/**
 * The low-rank deltas of many adapters and projections that share an input, in two parts: all inputs are shrunk to their ranks, {@code s · A x}, in
 * pieces for any thread; then each panel of outputs gets {@code B} times that.
 *
 * <p>Where rows have adapters of their own, their factors are most of what a step reads. {@link #ahead} has them fetched while the frozen matrices,
 * whose elements are used for all rows, keep the cores busy.
 */
final class LowRankDeltas implements AutoCloseable {
    private static final long ROW = 4L * Panels.WIDTH;
    /** Rows of a piece. */
    private static final int ROWS = 32;

    private List<LowRank> items = List.of();
    private CpuTensor x;
    /** Of each item: where its rows of {@link #shrunk} start, in bytes, and the number of its first piece; and both ends as last entries. */
    private long[] place = new long[1];
    private int[] firstPiece = new int[1];
    /** And the number of its A's first block of {@link TileCode#BLOCK} bytes. */
    private int[] firstBlock = new int[1];
    private NativeMemory shrunk = new NativeMemory(1 << 12);
    /** {@link RowDelta}s, by projection. */
    private NativeMemory table = new NativeMemory(64 * RowDelta.BYTES);
    private int[] firstEntry = new int[1];
    /** By which all entries are multiplied, and the elements of all. */
    private MachineTiles code;
    private Floats type;
    /** Which items are in the table. */
    private boolean[] single = new boolean[1];

    /** Takes the deltas of the next operation. */
    void prepare(CpuTensor x, List<LowRank> items) {
        this.x = x;
        this.items = items;
        int count = items.size();
        if (place.length <= count) {
            place = new long[2 * count];
            firstPiece = new int[2 * count];
            firstBlock = new int[2 * count];
            single = new boolean[2 * count];
        }
        for (int i = 0; i < count; i++) {
            LowRank item = items.get(i);
            PlainPanels a = (PlainPanels) item.a();
            PlainPanels b = (PlainPanels) item.b();
            if (a.out() != b.in()) {
                throw new IllegalArgumentException("a low-rank pair of ranks " + a.out() + " and " + b.in());
            }
            x.wide(a.in(), "the input of a low-rank pair").holding(item.firstRow(), item.rows());
            ((CpuTensor) item.out()).wide(b.out(), "the output of a low-rank pair").holding(item.firstRow(), item.rows());
            place[i + 1] = place[i] + item.rows() * rowBytes(a);
            firstBlock[i + 1] = firstBlock[i] + blocks(a.bytes());
            firstPiece[i + 1] = firstPiece[i] + a.count() * ((item.rows() + ROWS - 1) / ROWS);
        }
        if (shrunk.bytes() < place[count]) {
            shrunk.close();
            shrunk = new NativeMemory(place[count] * 3 / 2);
        }
    }

    /**
     * Takes the deltas of the next operation, and those of one row of these projections together.
     *
     * @return whether there are some of one row: they are added by {@link #expandRows}, when all inputs are shrunk and the outputs there
     */
    boolean prepare(CpuTensor x, List<LowRank> items, List<Projection> projections) {
        prepare(x, items);
        if (firstEntry.length <= projections.size()) {
            firstEntry = new int[2 * projections.size()];
        }
        if (table.bytes() < (long) items.size() * RowDelta.BYTES) {
            table.close();
            table = new NativeMemory(2L * items.size() * RowDelta.BYTES);
        }
        code = null;
        Arrays.fill(single, 0, items.size(), false);
        int entries = 0;
        for (int p = 0; p < projections.size(); p++) {
            for (int i = 0; i < items.size(); i++) {
                LowRank item = items.get(i);
                PlainPanels b = (PlainPanels) item.b();
                if (addsTo(i, projections.get(p)) && RowDelta.fits(item.rows(), b) && (code == null || type == b.floats())) {
                    code = b.code();
                    type = b.floats();
                    single[i] = true;
                    long entry = table.address() + (long) entries++ * RowDelta.BYTES;
                    RowDelta.put(entry, b, shrunk.address() + place[i], ((CpuTensor) item.out()).row(item.firstRow()));
                }
            }
            firstEntry[p + 1] = entries;
        }
        return entries > 0;
    }

    private static int blocks(long bytes) {
        return (int) ((bytes + TileCode.BLOCK - 1) / TileCode.BLOCK);
    }

    private static long rowBytes(PlainPanels a) {
        return a.count() * ROW;
    }

    /** Pieces of the first part. */
    int pieces() {
        return firstPiece[items.size()];
    }

    /** Shrinks some rows of an item by one panel of A. */
    void shrink(int piece, Scratch scratch) {
        int i = 0;
        while (piece >= firstPiece[i + 1]) {
            i++;
        }
        LowRank item = items.get(i);
        PlainPanels a = (PlainPanels) item.a();
        int panel = (piece - firstPiece[i]) % a.count();
        int row = (piece - firstPiece[i]) / a.count() * ROWS;
        int rows = Math.min(ROWS, item.rows() - row);
        long sums = scratch.bytes(rows * ROW);
        Lanes.clear(sums, rows * ROW);
        a.multiply(panel, x.row(item.firstRow() + row), x.rowBytes(), rows, sums, scratch);
        for (int r = 0; r < rows; r++) {
            long to = shrunk.address() + place[i] + (row + r) * rowBytes(a) + panel * ROW;
            Lanes.store(Lanes.load(sums + r * ROW).mul(item.scale()), to);
            Lanes.store(Lanes.load(sums + r * ROW + ROW / 2).mul(item.scale()), to + ROW / 2);
        }
    }

    /** Whether item {@code i} adds to a projection's outputs. */
    private boolean addsTo(int i, Projection projection) {
        return items.get(i).out() == projection.out();
    }

    /** Whether a projection has deltas that {@link #expandRows} does not add. */
    boolean hasOthers(Projection projection) {
        for (int i = 0; i < items.size(); i++) {
            if (!single[i] && addsTo(i, projection)) {
                return true;
            }
        }
        return false;
    }

    /** Adds the deltas of one row each to some panels of the outputs of projection {@code p}. */
    void expandRows(int p, int firstPanel, int panels) {
        int entries = firstEntry[p + 1] - firstEntry[p];
        if (entries > 0) {
            code.addRowDeltas(type, table.address() + (long) firstEntry[p] * RowDelta.BYTES, entries, firstPanel, panels);
        }
    }

    /**
     * Writes the addresses of blocks of {@link TileCode#BLOCK} bytes that are to be fetched: a share of all A, then what the deltas of one row need of
     * one panel of B. Where there are fewer than asked for, some come twice.
     *
     * @param p which projection
     * @param part which of {@code parts} shares
     * @param count how many addresses
     */
    void ahead(int p, int panel, int part, int parts, long to, int count) {
        int blocks = firstBlock[items.size()];
        int block = (int) ((long) part * blocks / parts);
        int end = Math.min(block + count, (int) ((part + 1L) * blocks / parts));
        int n = 0;
        for (int i = 0; block < end; block++) {
            while (block >= firstBlock[i + 1]) {
                i++;
            }
            Lanes.setLong(to + 8L * n++, ((PlainPanels) items.get(i).a()).at(0) + (long) (block - firstBlock[i]) * TileCode.BLOCK);
        }
        for (int entry = firstEntry[p]; entry < firstEntry[p + 1]; entry++) {
            long at = table.address() + (long) entry * RowDelta.BYTES;
            long bytes = Lanes.getLong(at + RowDelta.PANEL_BYTES);
            for (long b = 0; b < bytes && n < count; b += TileCode.BLOCK) {
                Lanes.setLong(to + 8L * n++, Lanes.getLong(at + RowDelta.B) + panel * bytes + b);
            }
        }
        long any = n == 0 ? table.address() : Lanes.getLong(to);
        for (; n < count; n++) {
            Lanes.setLong(to + 8L * n, any);
        }
    }

    /**
     * {@code sums[r] += B · (s · A x[r])} of all items of a projection but those that {@link #expandRows} adds, for one panel.
     *
     * @param row row of the tensor that the first of the sums is for
     */
    void expand(Projection projection, int panel, int row, int rows, long sums, Scratch scratch) {
        for (int i = 0; i < items.size(); i++) {
            if (!single[i] && addsTo(i, projection)) {
                expand(i, panel, row, rows, sums, scratch);
            }
        }
    }

    /**
     * {@code sums[r] += B · (s · A x[r])} for one panel of outputs and those of an item's rows that are among {@code rows} rows from {@code row} on.
     *
     * @param row row of the tensor that the first of the sums is for
     */
    void expand(int i, int panel, int row, int rows, long sums, Scratch scratch) {
        LowRank item = items.get(i);
        int first = Math.max(row, item.firstRow());
        int count = Math.min(row + rows, item.firstRow() + item.rows()) - first;
        if (count > 0) {
            long rowBytes = rowBytes((PlainPanels) item.a());
            ((PlainPanels) item.b()).multiply(panel, shrunk.address() + place[i] + (first - item.firstRow()) * rowBytes, rowBytes, count,
                    sums + (first - row) * ROW, scratch);
        }
    }

    @Override
    public void close() {
        shrunk.close();
        table.close();
    }
}
