package dev.polyphon.engine.backend.cpu;

import dev.polyphon.engine.backend.Weight;
import dev.polyphon.engine.weights.TensorView;
import java.util.stream.IntStream;

/**
 * A matrix [out, in] laid out for products: panels of {@link #WIDTH} rows, in each the rows' elements of one column next to each other, so that
 * outputs lie along the lanes and no sum has to be taken across them. Elements stay in the precision that they have in the file; past the last
 * row a panel holds zeros.
 */
abstract sealed class Panels implements Weight permits PlainPanels, GroupedPanels, WordPanels {
    /** Rows of a panel: two vectors. */
    static final int WIDTH = 2 * Lanes.L;
    /** Rows of inputs and sums after the last that {@link #multiply} may read, and of sums overwrite. */
    static final int SPARE_ROWS = 7;
    /** Columns that {@link #decode} takes at once at most; ranges start at multiples of it. */
    static final int MOST_COLUMNS = 1024;

    private final int out;
    private final int in;
    private final int count;
    private final long panelBytes;
    private final NativeMemory memory;

    /** @param lastBytes of the last panel, where that is narrower */
    Panels(int out, int in, long panelBytes, long lastBytes) {
        this.out = out;
        this.in = in;
        this.count = (out + WIDTH - 1) / WIDTH;
        this.panelBytes = panelBytes + 63 & -64;
        this.memory = NativeMemory.large(count == 0 ? 0 : (count - 1) * this.panelBytes + lastBytes);
    }

    /**
     * Packs a matrix of any float or quantised type; the view's bytes are not needed afterwards.
     *
     * @param code what will multiply it; null for the Vector API
     */
    static Panels pack(TensorView view, int[] rowOrder, MachineTiles code) {
        int out = rowOrder == null ? view.dim(0) : rowOrder.length;
        Panels panels = !view.dtype().quantised() ? new PlainPanels(view.dtype(), out, view.dim(1), code)
                : code == null ? new GroupedPanels(view.dtype(), out, view.dim(1)) : new WordPanels(view.dtype(), out, view.dim(1), code);
        long data = view.data().address();
        long rowBytes = view.dtype().bytes(view.dim(1));
        try {
            IntStream.range(0, panels.count).parallel().forEach(panel -> {
                for (int i = 0; i < WIDTH && panel * WIDTH + i < out; i++) {
                    int row = rowOrder == null ? panel * WIDTH + i : rowOrder[panel * WIDTH + i];
                    panels.put(panels.at(panel), i, data + row * rowBytes);
                }
            });
        } catch (RuntimeException | Error e) {
            panels.close();
            throw e;
        }
        return panels;
    }

    @Override
    public int out() {
        return out;
    }

    @Override
    public int in() {
        return in;
    }

    @Override
    public long bytes() {
        return memory.bytes();
    }

    /** From the start of one panel to the next. */
    final long panelBytes() {
        return panelBytes;
    }

    /** How many panels. */
    int count() {
        return count;
    }

    /** Where a panel starts. */
    final long at(int panel) {
        return memory.address() + panel * panelBytes;
    }

    /** Writes one row of the file as the panel's row {@code i}. */
    abstract void put(long panel, int i, long source);

    /** Decodes columns {@code from} to {@code from + count} to f32, [count][WIDTH]. */
    abstract void decode(long panel, int from, int count, long to, Scratch scratch);

    /**
     * {@code sums[r][j] += x[r] · panel} for rows {@code xBytes} apart; sums are {@link #WIDTH} floats a row, next to each other. Inputs are f32; for
     * {@link WordPanels} they are {@link QuantisedRows}, {@code xBytes} are from the records of some columns to those of the next, and there is memory for
     * {@link #SPARE_ROWS} more of inputs and sums.
     *
     * <p>This way is by the Vector API: one row is multiplied while the panel is decoded in registers; for more, a stretch of the panel is decoded to f32
     * in the nearest cache, then used for all rows.
     */
    void multiply(int panel, long x, long xBytes, int rows, long sums, Scratch scratch) {
        float[] values = scratch.floats(rows * WIDTH);
        Lanes.read(sums, values, 0, rows * WIDTH);
        long at = at(panel);
        if (rows > 1 || !multiplyRow(at, x, values, scratch)) {
            long decoded = scratch.decoded();
            for (int k = 0; k < in; k += Scratch.STRETCH) {
                int length = Math.min(Scratch.STRETCH, in - k);
                decode(at, k, length, decoded, scratch);
                Tiles.multiply(decoded, x + 4L * k, xBytes, rows, length, values, 0);
            }
        }
        Lanes.write(values, 0, sums, rows * WIDTH);
    }

    /** The same for one row, decoding in registers; false, and nothing done, where that is no gain. */
    boolean multiplyRow(long panel, long x, float[] sums, Scratch scratch) {
        return false;
    }

    /** Decodes rows of the matrix, {@code in()} values each, by scratch of its own: on any thread. */
    void read(int firstRow, int rows, float[] to) {
        try (Scratch scratch = new Scratch()) {
            long decoded = scratch.bytes(4L * WIDTH * MOST_COLUMNS);
            for (int panel = firstRow / WIDTH; panel * WIDTH < firstRow + rows; panel++) {
                int first = Math.max(firstRow, panel * WIDTH);
                int end = Math.min(firstRow + rows, (panel + 1) * WIDTH);
                for (int k = 0; k < in; k += MOST_COLUMNS) {
                    int columns = Math.min(MOST_COLUMNS, in - k);
                    decode(at(panel), k, columns, decoded, scratch);
                    for (int row = first; row < end; row++) {
                        int target = (row - firstRow) * in + k;
                        for (int c = 0; c < columns; c++) {
                            to[target + c] = Lanes.get(decoded + 4L * (c * WIDTH + row % WIDTH));
                        }
                    }
                }
            }
        }
    }

    @Override
    public void close() {
        memory.close();
    }
}
