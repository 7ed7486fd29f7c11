package dev.polyphon.engine.backend.cpu;

import dev.polyphon.engine.weights.DType;

/**
 * Panels of quantised elements for products of integers: a panel has its {@link GroupScales} first, then its elements, columns in pairs as VPDPWSSD and
 * VPMADDWD take them: signed bytes [in / 2][WIDTH][2], or nibbles [in / 2][WIDTH / 2][2], the lower nibbles for the first half of the rows.
 */
final class WordPanels extends Panels {
    private static final int WIDTH = Panels.WIDTH;
    private static final int HALF = WIDTH / 2;
    private static final long ROW = 4L * WIDTH;

    private final DType type;
    private final GroupScales scales;
    private final boolean nibbles;
    private final long elements;
    private final MachineCode[] tiles;
    private final MachineCode[] tilesAhead;

    WordPanels(DType type, int out, int in, MachineTiles code) {
        GroupScales scales = new GroupScales(type);
        long bytes = scales.bytes(in) + (Quants.nibbles(type) ? in / 2 : in) * (long) WIDTH;
        super(out, in, bytes, bytes);
        this.type = type;
        this.scales = scales;
        this.nibbles = Quants.nibbles(type);
        this.elements = scales.bytes(in);
        this.tiles = code.words(scales.group(), nibbles, scales.minima(), false);
        this.tilesAhead = code.words(scales.group(), nibbles, scales.minima(), true);
    }

    @Override
    void put(long panel, int i, long source) {
        byte[] q = new byte[type.blockSize()];
        for (int block = 0; block < in() / q.length; block++) {
            long from = source + (long) block * type.blockBytes();
            scales.put(panel, i, block, from);
            Quants.read(type, from, q);
            long to = element(panel, block * q.length, i);
            for (int k = 0; k < q.length; k += 2, to += nibbles ? WIDTH : 2 * WIDTH) {
                int pair = q[k] & 0xFF | q[k + 1] << 8;
                Lanes.setShort(to, (short) (nibbles ? Lanes.getShort(to) | pair << i / HALF * 4 : pair));
            }
        }
    }

    private long element(long panel, int column, int i) {
        long pair = column / 2;
        return panel + elements + column % 2 + (nibbles ? pair * WIDTH + i % HALF * 2 : (pair * WIDTH + i) * 2);
    }

    @Override
    void multiply(int panel, long x, long xBytes, int rows, long sums, Scratch scratch) {
        multiply(panel, x, xBytes, rows, sums, 0, scratch);
    }

    private int tiles(int rows) {
        int most = tiles.length - 1;
        return (rows + most - 1) / most;
    }

    /** How many blocks {@link #multiply} brings nearer for so many rows. */
    int blocksAhead(int rows) {
        return tiles(rows) * (in() / QuantisedRows.COLUMNS);
    }

    /**
     * The same.
     *
     * @param ahead where the addresses of {@link #blocksAhead} blocks of {@link TileCode#BLOCK} bytes are, that are brought into the second cache
     *     meanwhile; 0 for none
     */
    void multiply(int panel, long x, long stepBytes, int rows, long sums, long ahead, Scratch scratch) {
        int count = tiles(rows);
        // Of the same height, which may be a few rows too many.
        MachineCode tile = (ahead == 0 ? this.tiles : tilesAhead)[(rows + count - 1) / count];
        long at = at(panel);
        for (int k = 0; k < in(); k += MOST_COLUMNS) {
            int length = Math.min(MOST_COLUMNS, in() - k);
            int steps = length / QuantisedRows.COLUMNS;
            long expanded = scales.expand(at, k, length, scratch);
            tile.call(element(at, k, 0), expanded, x + k / QuantisedRows.COLUMNS * stepBytes, stepBytes, sums, steps, count, ahead);
            ahead += 8L * steps * count;
        }
    }

    @Override
    void decode(long panel, int from, int count, long to, Scratch scratch) {
        long expanded = scales.expand(panel, from, count, scratch);
        int step = scales.minima() ? 2 : 1;
        for (int k = 0; k < count; k++) {
            long row = expanded + k / scales.group() * step * ROW;
            for (int i = 0; i < WIDTH; i++) {
                int q = Lanes.getByte(element(panel, from + k, i));
                if (nibbles) {
                    q = q >> i / HALF * 4 & 15;
                }
                float minimum = step == 2 ? Lanes.get(row + ROW + 4L * i) : 0;
                Lanes.set(to + k * ROW + 4L * i, Math.fma(q, Lanes.get(row + 4L * i), minimum));
            }
        }
    }
}
