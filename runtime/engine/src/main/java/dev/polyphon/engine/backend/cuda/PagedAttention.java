package dev.polyphon.engine.backend.cuda;

import dev.polyphon.engine.backend.AttentionSpec;
import dev.polyphon.engine.backend.Batch;
import java.lang.foreign.MemorySegment;
import java.util.HashMap;
import java.util.Map;

/** Launches attention and what writes keys and values. */
final class PagedAttention {
    private static final int MOST_HEAD_DIM = 512;
    private static final int MOST_GRID_Y = 65_535;
    private static final int THREADS = 128;
    private static final int QUERIES = 16;
    private static final long MOST_PARTS = 64L << 20;

    private final Device device;
    private final Scratch scratch;
    /** Of the step under way. */
    private final Map<Tiling, AttentionTiles> tiles = new HashMap<>();
    private Batch step;

    private record Tiling(CudaKvCache cache, int rowsPerTile, int tilesPerBlock) {}

    PagedAttention(Device device, Scratch scratch) {
        this.device = device;
        this.scratch = scratch;
    }

    void begin(Batch batch) {
        step = batch;
        tiles.clear();
    }

    void end() {
        begin(null);
    }

    /** A batch's slots in a cache: once for all layers of a step. */
    long slots(CudaKvCache cache, Batch batch) {
        return batch == step
                ? device.tables().once(batch, -cache.blockSize(), () -> device.tables().add(cache.slots(batch), 2 * batch.rows()))
                : device.tables().add(cache.slots(batch), 2 * batch.rows());
    }

    /** Positions of a batch's rows: once for all layers of a step. */
    long positions(int[] positions, int rows) {
        return step != null && positions == step.positions()
                ? device.tables().once(positions, rows, () -> device.tables().add(positions, rows))
                : device.tables().add(positions, rows);
    }

    void attend(AttentionSpec spec, CudaTensor q, CudaKvCache c, int layer, Batch batch, CudaTensor o) {
        if (spec.kvHeads() != c.kvHeads() || spec.headDim() != c.headDim() || spec.heads() % spec.kvHeads() != 0 || spec.headDim() > MOST_HEAD_DIM) {
            throw new IllegalArgumentException("attention of " + spec.heads() + " heads of " + spec.headDim() + " columns over " + spec.kvHeads()
                    + " KV heads, the cache has " + c.kvHeads() + " of " + c.headDim() + "; heads have at most " + MOST_HEAD_DIM + " columns");
        }
        if (c.tensorCores()) {
            tiled(spec, q, c, layer, batch, o);
        } else {
            plain(spec, q, c, layer, batch, o);
        }
    }

    private long slopes(AttentionSpec spec) {
        return spec.alibiSlopes() == null ? 0
                : device.tables().once(spec.alibiSlopes(), 0, () -> device.tables().add(MemorySegment.ofArray(spec.alibiSlopes())));
    }

    private void plain(AttentionSpec spec, CudaTensor q, CudaKvCache c, int layer, Batch batch, CudaTensor o) {
        AttentionTables tables = AttentionTables.of(batch, c.blockSize(), c::place);
        long rowTable = device.tables().add(tables.rows(), tables.rows().length);
        long blocks = device.tables().add(tables.blocks(), tables.blocks().length);
        long slopes = slopes(spec);
        for (int first = 0; first < batch.rows(); first += MOST_GRID_Y) {
            device.arguments().at(q.row(first)).at(c.keys(layer)).at(c.values(layer)).at(rowTable + 8L * first).at(blocks).at(slopes).at(o.row(first))
                    .with(spec.heads()).with(spec.kvHeads()).with(spec.headDim()).with(c.blockSize()).with(spec.window()).with(q.columns())
                    .with(o.columns()).with(c.rounded() ? 1 : 0).with(spec.scale()).with(spec.softCap());
            device.launch("attention", spec.heads(), Math.min(MOST_GRID_Y, batch.rows() - first), THREADS);
        }
    }

    private void tiled(AttentionSpec spec, CudaTensor q, CudaKvCache c, int layer, Batch batch, CudaTensor o) {
        int group = spec.heads() / spec.kvHeads();
        int headTiles = Products.tiles(group, QUERIES);
        int tileHeads = Products.tiles(group, headTiles);
        int rowsPerTile = QUERIES / tileHeads;
        int padded = spec.headDim() <= 64 ? 64 : spec.headDim() <= 128 ? 128 : 256;
        int warps = padded == 256 ? 2 : 4;
        AttentionTiles t = batch == step
                ? tiles.computeIfAbsent(new Tiling(c, rowsPerTile, warps), tiling -> AttentionTiles.of(batch, c, rowsPerTile, warps))
                : AttentionTiles.of(batch, c, rowsPerTile, warps);
        long blocks = device.tables().once(t, 0, () -> device.tables().add(t.blocks(), t.blocks().length));
        long singles = device.tables().once(t, 1, () -> device.tables().add(t.singles(), t.singles().length));
        long many = device.tables().once(t, 2, () -> device.tables().add(t.many(), t.many().length));
        long slopes = slopes(spec);
        int count = t.singles().length / AttentionTiles.INTS;
        int spans = Integer.highestOneBit(2 * t.spans() - 1);
        int heads = spec.kvHeads() * headTiles;
        int spanWarps = padded == 64 ? 8 : 4;
        long partsOfTile = (long) heads * spans * tileHeads * (padded + 2);
        int together = (int) Math.clamp(MOST_PARTS / partsOfTile, 1, MOST_GRID_Y);
        for (int first = 0; first < count; first += together) {
            int now = Math.min(together, count - first);
            long parts = scratch.floats("parts of attention", now * partsOfTile);
            // Zero at first, and again when the last block of each has ended.
            long counters = scratch.floats("counters of attention", (long) now * heads);
            arguments(spec, q, c, layer, o, singles + 4L * AttentionTiles.INTS * first, blocks, slopes, parts, counters, now, tileHeads, headTiles, spans);
            device.launch("attend_split_" + padded, heads * Products.tiles(spans, spanWarps), now, 32 * spanWarps);
        }
        int rest = t.many().length / AttentionTiles.INTS;
        if (rest > 0) {
            arguments(spec, q, c, layer, o, many, blocks, slopes, 0, 0, rest, tileHeads, headTiles, 0);
            device.launch("attend_" + padded, Products.tiles(rest, warps), heads, 32 * warps);
        }
    }

    private void arguments(AttentionSpec spec, CudaTensor q, CudaKvCache c, int layer, CudaTensor o, long tileTable, long blocks, long slopes, long parts,
            long counters, int count, int tileHeads, int headTiles, int spans) {
        device.arguments().at(q.address()).at(c.keys(layer)).at(c.values(layer)).at(tileTable).at(blocks).at(slopes).at(o.address()).at(parts).at(counters).with(count)
                .with(spec.heads()).with(spec.kvHeads()).with(spec.headDim()).with(c.blockSize()).with(spec.window()).with(q.columns()).with(o.columns())
                .with(tileHeads).with(headTiles).with(spans).with(spec.scale()).with(spec.softCap());
    }
}
