package dev.polyphon.engine.backend.cpu;

import dev.polyphon.engine.backend.AttentionSpec;
import dev.polyphon.engine.backend.Batch;
import dev.polyphon.engine.backend.cpu.TileCode.Floats;
import jdk.incubator.vector.FloatVector;

/**
 * Attention over paged keys and values. A piece of work is one KV head with the queries of some consecutive rows of a sequence that share it: their
 * scores and their sums of values are products of register tiles with the cache's panels, so keys and values are read once for all of them.
 *
 * <p>A row's bits do not depend on the rows it shares a piece with: sums of products are chains in the order of columns or positions, to which
 * positions that the row does not see add zeros, and the softmax is computed for each row by itself, on vectors that start at multiples of their length.
 */
final class Attention {
    private static final int WIDTH = Panels.WIDTH;
    private static final long ROW = 4L * WIDTH;
    /** Multiply-adds below which waking others costs more than it gives. */
    private static final long SMALL = 40_000;
    /** Elements below which writing is done at once. */
    private static final long SMALL_WRITE = 1_000;
    /** Queries of a piece: enough that reading keys and values is shared, few enough that their scores stay in the cache. */
    private static final int QUERIES = 24;
    private static final long SCORE_BYTES = 512 << 10;

    private final WorkerPool pool;
    private final Scratch[] scratch;
    private final MachineTiles code;

    /** One sequence's rows {@code firstRow} to {@code firstRow + rows - 1}. */
    private record Tile(int[] blocks, int firstRow, int rows) {}

    /** @param code null to compute by the Vector API alone */
    Attention(WorkerPool pool, Scratch[] scratch, MachineTiles code) {
        this.pool = pool;
        this.scratch = scratch;
        this.code = code;
    }

    void write(CpuKvCache cache, int layer, CpuTensor keys, CpuTensor values, Batch batch) {
        int dim = cache.headDim();
        keys.wide(cache.kvHeads() * dim, "keys").holding(0, batch.rows());
        values.wide(cache.kvHeads() * dim, "values").holding(0, batch.rows());
        WorkerPool.Work piece = (worker, s) -> {
            for (int r = batch.firstRow()[s]; r < batch.firstRow()[s + 1]; r++) {
                for (int h = 0; h < cache.kvHeads(); h++) {
                    cache.write(layer, batch.blocks()[s], h, batch.positions()[r], keys.row(r) + 4L * h * dim, values.row(r) + 4L * h * dim);
                }
            }
        };
        if ((long) batch.rows() * cache.kvHeads() * dim < SMALL_WRITE) {
            for (int s = 0; s < batch.sequences(); s++) {
                piece.run(0, s);
            }
        } else {
            pool.run(batch.sequences(), piece);
        }
    }

    void attend(AttentionSpec spec, CpuTensor queries, CpuKvCache cache, int layer, Batch batch, CpuTensor out) {
        if (spec.kvHeads() != cache.kvHeads() || spec.headDim() != cache.headDim() || spec.heads() % spec.kvHeads() != 0) {
            throw new IllegalArgumentException("attention of " + spec.heads() + " heads of " + spec.headDim() + " columns over " + spec.kvHeads()
                    + " KV heads, the cache has " + cache.kvHeads() + " of " + cache.headDim());
        }
        int rows = batch.rows();
        queries.wide(spec.heads() * spec.headDim(), "queries").holding(0, rows);
        out.wide(spec.heads() * spec.headDim(), "the output of attention").holding(0, rows);
        Tile[] tiles = new Tile[rows];
        int count = 0;
        long work = 0;
        for (int s = 0; s < batch.sequences(); s++) {
            int end = batch.firstRow()[s + 1];
            for (int r = batch.firstRow()[s]; r < end;) {
                int most = Math.min(end - r, rowsOfTile(spec, batch.positions()[end - 1]));
                tiles[count++] = new Tile(batch.blocks()[s], r, most);
                work += 2L * most * (batch.positions()[r] + 1) * spec.heads() * spec.headDim();
                r += most;
            }
        }
        int pieces = count * spec.kvHeads();
        WorkerPool.Work piece = (worker, i) ->
                attend(spec, cache, layer, tiles[i / spec.kvHeads()], i % spec.kvHeads(), batch.positions(), queries, out, scratch[worker]);
        if (work < SMALL) {
            for (int i = 0; i < pieces; i++) {
                piece.run(0, i);
            }
        } else {
            pool.run(pieces, piece);
        }
    }

    private static int rowsOfTile(AttentionSpec spec, int lastPosition) {
        int group = spec.heads() / spec.kvHeads();
        long fitting = SCORE_BYTES / (4L * (lastPosition + 1) * group);
        return (int) Math.max(1, Math.min(fitting, QUERIES / group));
    }

    private void attend(AttentionSpec spec, CpuKvCache cache, int layer, Tile tile, int kvHead, int[] positions, CpuTensor queries,
            CpuTensor out, Scratch scratch) {
        int dim = spec.headDim();
        int group = spec.heads() / spec.kvHeads();
        int count = tile.rows * group;
        int first = firstSeen(spec, positions[tile.firstRow]);
        int end = positions[tile.firstRow + tile.rows - 1] + 1;
        // Scores start at a multiple of the lanes; before and after them is room for what a panel computes beyond.
        int base = first / Lanes.L * Lanes.L;
        long scoreBytes = 4L * Lanes.roundUp(end - base + 2 * WIDTH);
        long sumBytes = count * ROW;
        long gathered = scratch.bytes(count * scoreBytes + 4L * Lanes.roundUp(count * dim) + sumBytes + ROW) + sumBytes;
        long scores = gathered + 4L * Lanes.roundUp(count * dim) + ROW;
        long sums = gathered - sumBytes;

        long head = 4L * kvHead * group * dim;
        for (int r = 0; r < tile.rows; r++) {
            Lanes.copy(queries.row(tile.firstRow + r) + head, gathered + 4L * r * group * dim, 4L * group * dim);
        }
        score(cache, layer, tile.blocks, kvHead, first, end, gathered, count, sums, scores - 4L * base, scoreBytes, scratch);
        for (int q = 0; q < count; q++) {
            int position = positions[tile.firstRow + q / group];
            float slope = spec.alibiSlopes() == null ? 0 : spec.alibiSlopes()[kvHead * group + q % group];
            softmax(spec, slope, scores + q * scoreBytes, base, firstSeen(spec, position) - base, position + 1 - base, end - base);
        }
        for (int c = 0; c < dim; c += WIDTH) {
            Lanes.clear(sums, sumBytes);
            weigh(cache, layer, tile.blocks, kvHead, c, first, end, scores - 4L * base, scoreBytes, count, sums, scratch);
            for (int q = 0; q < count; q++) {
                Linear.put(sums + q * ROW, out.row(tile.firstRow + q / group) + head + 4L * (q % group * dim + c), Math.min(WIDTH, dim - c));
            }
        }
    }

    private static int firstSeen(AttentionSpec spec, int position) {
        return spec.window() == 0 ? 0 : Math.max(0, position - spec.window() + 1);
    }

    /** Products of all queries with the keys from {@code first} to {@code end}; that of position p is at {@code scores + 4p}. */
    private void score(CpuKvCache cache, int layer, int[] table, int head, int first, int end, long queries, int count, long sums, long scores,
            long scoreBytes, Scratch scratch) {
        int size = cache.blockSize();
        for (int block = first / size; block * size < end; block++) {
            for (int p = block * size; p < Math.min(end, (block + 1) * size); p += WIDTH) {
                if (p + WIDTH > first) {
                    Lanes.clear(sums, count * ROW);
                    long panel = cache.keys(layer, table[block], head, p - block * size);
                    multiply(cache.type(), panel, queries, 4L * cache.headDim(), count, cache.headDim(), sums, scratch);
                    // A block's last panel may reach into the next block's scores, which are not computed yet.
                    for (int q = 0; q < count; q++) {
                        Linear.put(sums + q * ROW, scores + q * scoreBytes + 4L * p, WIDTH);
                    }
                }
            }
        }
    }

    /** Adds up a panel's columns of the values from {@code first} to {@code end}, each times its weight. */
    private void weigh(CpuKvCache cache, int layer, int[] table, int head, int column, int first, int end, long weights, long weightBytes, int count,
            long sums, Scratch scratch) {
        int size = cache.blockSize();
        for (int p = first; p < end;) {
            int block = p / size;
            int length = Math.min(end, (block + 1) * size) - p;
            long panel = cache.values(layer, table[block], head, column) + (p - block * size) * cache.rowBytes();
            multiply(cache.type(), panel, weights + 4L * p, weightBytes, count, length, sums, scratch);
            p += length;
        }
    }

    /** {@code sums[r][j] += Σ x[r][k] · w[k][j]} for a panel of keys or values. */
    private void multiply(Floats type, long w, long x, long xBytes, int rows, int length, long sums, Scratch scratch) {
        if (code != null) {
            code.multiply(type, w, x, xBytes, rows, length, sums);
            return;
        }
        float[] values = scratch.floats(rows * WIDTH);
        Lanes.read(sums, values, 0, rows * WIDTH);
        Tiles.multiply(w, x, xBytes, rows, length, values, 0);
        Lanes.write(values, 0, sums, rows * WIDTH);
    }

    /**
     * Makes weights of one query's products.
     *
     * @param base position of the first product, a multiple of the lanes
     * @param from first that the query sees, counted from {@code base}
     * @param to one after the last that it sees
     * @param end one after the last that others of its piece see; weights from {@code to} on are zero
     */
    private void softmax(AttentionSpec spec, float slope, long scores, int base, int from, int to, int end) {
        int start = from / Lanes.L * Lanes.L;
        int stop = Lanes.roundUp(to);
        float factor = spec.scale();
        if (spec.softCap() != 0 || slope != 0) {
            scale(scores, start, stop, factor);
            factor = 1;
        }
        if (spec.softCap() != 0) {
            cap(scores, start, stop, spec.softCap());
        }
        if (slope != 0) {
            for (int i = start; i < to; i++) {
                Lanes.set(scores + 4L * i, Math.fma(slope, base + i, Lanes.get(scores + 4L * i)));
            }
        }
        fill(scores, start, from, Float.NEGATIVE_INFINITY);
        fill(scores, to, stop, Float.NEGATIVE_INFINITY);
        if (code != null) {
            code.softmax(scores + 4L * start, (stop - start) / Lanes.L, factor);
        } else {
            scale(scores, start, stop, factor);
            exponentiate(scores, start, stop, max(scores, start, stop));
            scale(scores, start, stop, 1 / sum(scores, start, stop));
        }
        fill(scores, 0, from, 0);
        fill(scores, to, Math.max(end, stop), 0);
    }

    private static void fill(long scores, int from, int to, float value) {
        for (int i = from; i < to; i++) {
            Lanes.set(scores + 4L * i, value);
        }
    }

    private static void scale(long scores, int from, int to, float factor) {
        for (int i = from; i < to; i += Lanes.L) {
            Lanes.store(Lanes.load(scores + 4L * i).mul(factor), scores + 4L * i);
        }
    }

    private static void cap(long scores, int from, int to, float cap) {
        for (int i = from; i < to; i += Lanes.L) {
            Lanes.store(VectorMath.tanh(Lanes.load(scores + 4L * i).mul(1 / cap)).mul(cap), scores + 4L * i);
        }
    }

    private static float max(long scores, int from, int to) {
        FloatVector max = Lanes.all(Float.NEGATIVE_INFINITY);
        for (int i = from; i < to; i += Lanes.L) {
            max = max.max(Lanes.load(scores + 4L * i));
        }
        return Lanes.max(max);
    }

    private static void exponentiate(long scores, int from, int to, float max) {
        for (int i = from; i < to; i += Lanes.L) {
            Lanes.store(VectorMath.exp(Lanes.load(scores + 4L * i).sub(max)), scores + 4L * i);
        }
    }

    private static float sum(long scores, int from, int to) {
        FloatVector sum = Lanes.zero();
        for (int i = from; i < to; i += Lanes.L) {
            sum = sum.add(Lanes.load(scores + 4L * i));
        }
        return Lanes.sum(sum);
    }
}
