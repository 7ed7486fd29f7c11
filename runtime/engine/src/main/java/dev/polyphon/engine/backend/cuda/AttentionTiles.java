package dev.polyphon.engine.backend.cuda;

import dev.polyphon.engine.backend.Batch;

/**
 * A batch as attend.cu takes it: tiles of rows of one sequence, as {@code Tile} there has them.
 *
 * @param singles of sequences with one row, which are split over their positions
 * @param many of sequences with several rows
 * @param spans most spans of positions of a single row
 * @param blocks the block tables of all sequences one after the other
 */
record AttentionTiles(int[] singles, int[] many, int spans, int[] blocks) {
    static final int SPAN = 64;
    static final int INTS = 4;

    /**
     * @param rowsPerTile at most
     * @param tilesPerBlock a sequence with several rows has a multiple of so many, of which the last may have no rows
     */
    static AttentionTiles of(Batch batch, CudaKvCache cache, int rowsPerTile, int tilesPerBlock) {
        AttentionTables tables = AttentionTables.of(batch, cache.blockSize(), cache::place);
        int[] singles = new int[INTS * batch.sequences()];
        int[] many = new int[INTS * (batch.rows() + tilesPerBlock * batch.sequences())];
        int single = 0;
        int more = 0;
        int spans = 1;
        for (int s = 0; s < batch.sequences(); s++) {
            int first = batch.firstRow()[s];
            int rows = batch.firstRow()[s + 1] - first;
            if (rows == 1) {
                single = tile(singles, single, first, 1, tables.rows());
                spans = Math.max(spans, batch.positions()[first] / SPAN + 1);
            } else {
                for (int r = 0; r < rows; r += rowsPerTile) {
                    more = tile(many, more, first + r, Math.min(rowsPerTile, rows - r), tables.rows());
                }
                while (more / INTS % tilesPerBlock != 0) {
                    // Behind the last one: it ends where that ends.
                    many[more] = many[more - INTS];
                    many[more + 1] = 0;
                    many[more + 2] = many[more - INTS + 2] + many[more - INTS + 1];
                    many[more + 3] = many[more - INTS + 3];
                    more += INTS;
                }
            }
        }
        return new AttentionTiles(java.util.Arrays.copyOf(singles, single), java.util.Arrays.copyOf(many, more), spans, tables.blocks());
    }

    private static int tile(int[] to, int at, int row, int rows, int[] table) {
        to[at] = row;
        to[at + 1] = rows;
        to[at + 2] = table[2 * row];
        to[at + 3] = table[2 * row + 1];
        return at + INTS;
    }
}
