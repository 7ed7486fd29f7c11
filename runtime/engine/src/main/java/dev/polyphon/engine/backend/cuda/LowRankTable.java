package dev.polyphon.engine.backend.cuda;

import dev.polyphon.engine.backend.LowRank;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;

/**
 * The low-rank deltas of one call as the kernels take them: an {@code Item} of linear.cu for each, and for both halves a list of tiles (item, start,
 * row) as long as the ranks, widths and rows need, so that no rank is padded to another's.
 */
final class LowRankTable {
    static final int SHRINK_THREADS = 128;
    static final int EXPAND_THREADS = 128;
    private static final int SHRINK_TILE = 4;
    private static final int EXPAND_TILE = 4 * EXPAND_THREADS;
    private static final int ROW_TILE = 4;
    private static final int ITEM = 80;
    private static final int TILE = 16;

    private final List<LowRank> items;
    private final int shrinkTiles;
    private final int expandTiles;
    private final long shrunkFloats;

    LowRankTable(List<LowRank> items) {
        this.items = items.stream().filter(item -> item.rows() > 0 && item.a().out() > 0).toList();
        shrinkTiles = this.items.stream().mapToInt(item -> tiles(item, item.a().out(), SHRINK_TILE)).sum();
        expandTiles = this.items.stream().mapToInt(item -> tiles(item, item.b().out(), EXPAND_TILE)).sum();
        shrunkFloats = this.items.stream().mapToLong(LowRankTable::shrunkFloats).sum();
    }

    private static int tiles(LowRank item, int n, int tile) {
        return Products.tiles(n, tile) * Products.tiles(item.rows(), ROW_TILE);
    }

    /** Of an item: its rows, up to where four floats can be read at once again. */
    private static int shrunkFloats(LowRank item) {
        return Products.tiles(item.rows() * item.a().out(), 4) * 4;
    }

    int shrinkTiles() {
        return shrinkTiles;
    }

    int expandTiles() {
        return expandTiles;
    }

    /** Products of the first halves. */
    long shrunkFloats() {
        return shrunkFloats;
    }

    long bytes() {
        return (long) ITEM * items.size() + (long) TILE * (shrinkTiles + expandTiles);
    }

    long shrinkAt() {
        return (long) ITEM * items.size();
    }

    long expandAt() {
        return shrinkAt() + (long) TILE * shrinkTiles;
    }

    void write(MemorySegment to) {
        int shrunk = 0;
        long shrink = shrinkAt();
        long expand = expandAt();
        for (int i = 0; i < items.size(); i++) {
            LowRank item = items.get(i);
            CudaWeight a = (CudaWeight) item.a();
            CudaWeight b = (CudaWeight) item.b();
            CudaTensor out = (CudaTensor) item.out();
            long at = (long) ITEM * i;
            to.set(ValueLayout.JAVA_LONG, at, a.address());
            to.set(ValueLayout.JAVA_LONG, at + 8, b.address());
            to.set(ValueLayout.JAVA_LONG, at + 16, out.address());
            to.set(ValueLayout.JAVA_FLOAT, at + 24, item.scale());
            int[] numbers = {a.number(), b.number(), a.out(), a.in(), b.out(), Math.toIntExact(a.rowBytes()), Math.toIntExact(b.rowBytes()),
                    item.firstRow(), item.rows(), out.columns(), shrunk};
            MemorySegment.copy(numbers, 0, to, ValueLayout.JAVA_INT, at + 28, numbers.length);
            shrunk += shrunkFloats(item);
            shrink = writeTiles(to, shrink, i, a.out(), SHRINK_TILE, item.rows());
            expand = writeTiles(to, expand, i, b.out(), EXPAND_TILE, item.rows());
        }
    }

    private static long writeTiles(MemorySegment to, long at, int item, int n, int tile, int rows) {
        for (int start = 0; start < n; start += tile) {
            for (int row = 0; row < rows; row += ROW_TILE, at += TILE) {
                MemorySegment.copy(new int[] {item, start, row, 0}, 0, to, ValueLayout.JAVA_INT, at, TILE / 4);
            }
        }
        return at;
    }
}
