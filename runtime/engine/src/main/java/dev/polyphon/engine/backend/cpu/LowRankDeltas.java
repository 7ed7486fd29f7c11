package dev.polyphon.engine.backend.cpu;

import dev.polyphon.engine.backend.LowRank;
import java.util.List;

/**
 * The low-rank deltas of many adapters and projections that share an input, in two parts: all inputs are shrunk to their ranks, {@code s · A x}, in
 * pieces for any thread; then each panel of outputs gets {@code B} times that, while its sums are at hand.
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
    private NativeMemory shrunk = new NativeMemory(1 << 12);

    /** Takes the deltas of the next operation. */
    void prepare(CpuTensor x, List<LowRank> items) {
        this.x = x;
        this.items = items;
        int count = items.size();
        if (place.length <= count) {
            place = new long[2 * count];
            firstPiece = new int[2 * count];
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
            firstPiece[i + 1] = firstPiece[i] + a.count() * ((item.rows() + ROWS - 1) / ROWS);
        }
        if (shrunk.bytes() < place[count]) {
            shrunk.close();
            shrunk = new NativeMemory(place[count] * 3 / 2);
        }
    }

    private static long rowBytes(PlainPanels a) {
        return a.count() * ROW;
    }

    /** Pieces of the first part. */
    int pieces() {
        return firstPiece[items.size()];
    }

    /** Multiply-adds of the first part. */
    long work() {
        long work = 0;
        for (LowRank item : items) {
            work += (long) item.rows() * item.a().out() * item.a().in();
        }
        return work;
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
        Lanes.fill(sums, rows * ROW);
        a.multiply(panel, x.row(item.firstRow() + row), x.rowBytes(), rows, sums, scratch);
        for (int r = 0; r < rows; r++) {
            long to = shrunk.address() + place[i] + (row + r) * rowBytes(a) + panel * ROW;
            Lanes.store(Lanes.load(sums + r * ROW).mul(item.scale()), to);
            Lanes.store(Lanes.load(sums + r * ROW + ROW / 2).mul(item.scale()), to + ROW / 2);
        }
    }

    /** Whether item {@code i} adds to these outputs. */
    boolean addsTo(int i, CpuTensor out) {
        return items.get(i).out() == out;
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
    }
}
