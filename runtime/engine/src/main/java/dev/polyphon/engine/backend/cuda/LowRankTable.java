package dev.polyphon.engine.backend.cuda;

import dev.polyphon.engine.backend.LowRank;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;

/**
 * The low-rank deltas of one call as the kernels take them: an {@code Item} of linear.cu for each, and for both halves a list of tiles (item, start) as long
 * as the ranks and widths need, so that no rank is padded to another's.
 */
final class LowRankTable {
    static final int SHRINK_TILE = 4;
    static final int EXPAND_TILE = 128;
    private static final int ITEM = 80;

    private final List<LowRank> items;
    private final int shrinkTiles;
    private final int expandTiles;
    private final long shrunkFloats;

    LowRankTable(List<LowRank> items) {
        this.items = items.stream().filter(item -> item.rows() > 0 && item.a().out() > 0).toList();
        shrinkTiles = this.items.stream().mapToInt(item -> Products.tiles(item.a().out(), SHRINK_TILE)).sum();
        expandTiles = this.items.stream().mapToInt(item -> Products.tiles(item.b().out(), EXPAND_TILE)).sum();
        shrunkFloats = this.items.stream().mapToLong(item -> (long) item.rows() * item.a().out()).sum();
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
        return (long) ITEM * items.size() + 8L * (shrinkTiles + expandTiles);
    }

    long shrinkAt() {
        return (long) ITEM * items.size();
    }

    long expandAt() {
        return shrinkAt() + 8L * shrinkTiles;
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
            shrunk += item.rows() * a.out();
            shrink = tiles(to, shrink, i, a.out(), SHRINK_TILE);
            expand = tiles(to, expand, i, b.out(), EXPAND_TILE);
        }
    }

    private static long tiles(MemorySegment to, long at, int item, int n, int tile) {
        for (int start = 0; start < n; start += tile, at += 8) {
            to.set(ValueLayout.JAVA_INT, at, item);
            to.set(ValueLayout.JAVA_INT, at + 4, start);
        }
        return at;
    }
}
