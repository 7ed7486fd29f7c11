package dev.polyphon.engine.backend.cpu;

import dev.polyphon.engine.backend.Projection;
import dev.polyphon.engine.backend.cpu.TileCode.Floats;
import java.util.Arrays;
import java.util.List;

/**
 * Matrix products of activations with frozen matrices, panel by panel.
 *
 * <p>By machine code, quantised panels are multiplied with inputs quantised to 16 bits, others are decoded in registers. By the Vector API, one row is
 * multiplied while the panel is decoded in registers; for more, a stretch of the panel is decoded to f32 in the nearest cache, then used for all rows.
 */
final class Linear implements AutoCloseable {
    /** Multiply-adds below which waking others costs more than it gives. */
    static final long SMALL = 60_000;
    /** Columns decoded at once: the stretch shares the nearest cache with a tile of inputs and outputs. */
    static final int STRETCH = 128;
    /** Rows multiplied with a panel before the next one is taken, so that they stay in a core's own cache. */
    private static final int ROWS = 128;
    /** Elements quantised in one piece. */
    private static final int QUANTISED_AT_ONCE = 16_000;
    /** Bytes of a row of a panel's sums. */
    private static final long SUMS = 4L * Panels.WIDTH;

    private final WorkerPool pool;
    private final Scratch[] scratch;
    private final MachineTiles code;
    private NativeMemory quantised = new NativeMemory(1 << 16);

    /** @param code null to compute by the Vector API alone */
    Linear(WorkerPool pool, Scratch[] scratch, MachineTiles code) {
        this.pool = pool;
        this.scratch = scratch;
        this.code = code;
    }

    void linear(CpuTensor x, int firstRow, int rows, List<Projection> projections) {
        x.holding(firstRow, rows);
        if (rows == 0) {
            return;
        }
        int count = projections.size();
        int panels = 0;
        long work = 0;
        int words = 0;
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
        if (words > 0) {
            quantise(x, firstRow, rows, words);
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
            int to = Math.min(from + chunk, w.count());
            for (int row = 0; row < rows; row += ROWS) {
                for (int panel = from; panel < to; panel++) {
                    project(p, panel, x, firstRow, row, Math.min(ROWS, rows - row), scratch[worker]);
                }
            }
        });
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
    private void project(Projection p, int panel, CpuTensor x, int firstRow, int row, int rows, Scratch scratch) {
        CpuTensor bias = (CpuTensor) p.bias();
        CpuTensor out = (CpuTensor) p.out();
        int column = panel * Panels.WIDTH;
        int width = Math.min(Panels.WIDTH, ((Panels) p.weight()).out() - column);
        int first = firstRow + row;
        if (code == null) {
            float[] sums = scratch.floats(rows * Panels.WIDTH);
            Arrays.fill(sums, 0, rows * Panels.WIDTH, 0);
            for (int r = 0; bias != null && r < rows; r++) {
                Lanes.read(bias.row(0) + 4L * column, sums, r * Panels.WIDTH, width);
            }
            multiply((Panels) p.weight(), panel, x.row(first), x.rowBytes(), rows, sums, scratch.decoded(), scratch);
            for (int r = 0; r < rows; r++) {
                put(sums, r * Panels.WIDTH, out.row(first + r) + 4L * column, width);
            }
            return;
        }
        long sums = scratch.bytes(rows * SUMS);
        Lanes.fill(sums, rows * SUMS);
        for (int r = 0; bias != null && r < rows; r++) {
            Lanes.copy(bias.row(0) + 4L * column, sums + r * SUMS, 4L * width);
        }
        switch ((Panels) p.weight()) {
            case WordPanels w -> {
                long rowBytes = QuantisedRows.rowBytes(w.in());
                w.multiply(panel, quantised.address() + row * rowBytes, rowBytes, rows, sums, scratch);
            }
            case PlainPanels w -> code.multiply(w.floats(), w.at(panel), x.row(first), x.rowBytes(), rows, w.in(), sums);
            case GroupedPanels w -> throw new IllegalStateException("panels for the Vector API, " + w.type());
        }
        for (int r = 0; r < rows; r++) {
            put(sums + r * SUMS, out.row(first + r) + 4L * column, width);
        }
    }

    private static void put(long sums, long to, int width) {
        if (width == Panels.WIDTH) {
            Lanes.store(Lanes.load(sums), to);
            Lanes.store(Lanes.load(sums + 4L * Lanes.L), to + 4L * Lanes.L);
        } else {
            Lanes.copy(sums, to, 4L * width);
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

    @Override
    public void close() {
        quantised.close();
    }
}
