package dev.polyphon.engine.backend.cpu;

import dev.polyphon.engine.backend.AttentionSpec;
import dev.polyphon.engine.backend.Batch;
import jdk.incubator.vector.FloatVector;

/** Attention over paged keys and values: one pass for the scores, one for their softmax, one for the weighted values. */
final class Attention {
    /** Multiply-adds below which waking others costs more than it gives. */
    private static final long SMALL = 40_000;

    private final WorkerPool pool;
    private final Scratch[] scratch;

    Attention(WorkerPool pool, Scratch[] scratch) {
        this.pool = pool;
        this.scratch = scratch;
    }

    void write(CpuKvCache cache, int layer, CpuTensor keys, CpuTensor values, Batch batch) {
        int dim = cache.headDim();
        keys.wide(cache.kvHeads() * dim, "keys").holding(0, batch.rows());
        values.wide(cache.kvHeads() * dim, "values").holding(0, batch.rows());
        for (int s = 0; s < batch.sequences(); s++) {
            int[] table = batch.blocks()[s];
            for (int r = batch.firstRow()[s]; r < batch.firstRow()[s + 1]; r++) {
                for (int h = 0; h < cache.kvHeads(); h++) {
                    long offset = cache.offset(table, h, batch.positions()[r]);
                    Lanes.copy(keys.row(r) + 4L * h * dim, cache.keys(layer) + offset, 4L * dim);
                    Lanes.copy(values.row(r) + 4L * h * dim, cache.values(layer) + offset, 4L * dim);
                }
            }
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
        int[] sequence = new int[rows];
        long work = 0;
        for (int s = 0; s < batch.sequences(); s++) {
            for (int r = batch.firstRow()[s]; r < batch.firstRow()[s + 1]; r++) {
                sequence[r] = s;
                work += 2L * (batch.positions()[r] + 1) * spec.heads() * spec.headDim();
            }
        }
        int group = spec.heads() / spec.kvHeads();
        int pieces = rows * spec.kvHeads();
        WorkerPool.Work piece = (worker, i) -> {
            int row = i / spec.kvHeads();
            int kvHead = i % spec.kvHeads();
            for (int h = kvHead * group; h < (kvHead + 1) * group; h++) {
                attend(spec, cache, layer, batch.blocks()[sequence[row]], h, kvHead, batch.positions()[row],
                        queries.row(row) + 4L * h * spec.headDim(), out.row(row) + 4L * h * spec.headDim(), scratch[worker]);
            }
        };
        if (work < SMALL) {
            for (int i = 0; i < pieces; i++) {
                piece.run(0, i);
            }
        } else {
            pool.run(pieces, piece);
        }
    }

    private static void attend(AttentionSpec spec, CpuKvCache cache, int layer, int[] table, int head, int kvHead, int position, long query,
            long out, Scratch scratch) {
        int dim = spec.headDim();
        int padded = Lanes.roundUp(dim);
        int first = spec.window() == 0 ? 0 : Math.max(0, position - spec.window() + 1);
        int count = position - first + 1;
        long q = scratch.bytes(4L * (2 * padded + Lanes.roundUp(count)));
        long sum = q + 4L * padded;
        long weights = sum + 4L * padded;
        Lanes.fill(q + 4L * dim, 4L * (padded - dim));
        Lanes.copy(query, q, 4L * dim);
        float slope = spec.alibiSlopes() == null ? 0 : spec.alibiSlopes()[head];
        int size = cache.blockSize();

        long keys = cache.keys(layer);
        for (int p = first; p <= position;) {
            long key = keys + cache.offset(table, kvHead, p);
            int end = Math.min(position + 1, (p / size + 1) * size);
            for (; p < end; p++, key += cache.positionBytes()) {
                FloatVector dot = Lanes.zero();
                for (int i = 0; i < padded; i += Lanes.L) {
                    dot = Lanes.load(q + 4L * i).fma(Lanes.load(key + 4L * i), dot);
                }
                Lanes.set(weights + 4L * (p - first), Lanes.sum(dot) * spec.scale());
            }
        }
        if (spec.softCap() != 0) {
            for (int i = 0; i < count; i += Lanes.L) {
                FloatVector capped = VectorMath.tanh(Lanes.load(weights + 4L * i).mul(1 / spec.softCap())).mul(spec.softCap());
                Lanes.store(capped, weights + 4L * i);
            }
        }
        float max = Float.NEGATIVE_INFINITY;
        for (int i = 0; i < count; i++) {
            float score = Lanes.get(weights + 4L * i);
            if (slope != 0) {
                score = Math.fma(slope, first + i, score);
                Lanes.set(weights + 4L * i, score);
            }
            max = Math.max(max, score);
        }
        for (int i = 0; i < count; i += Lanes.L) {
            Lanes.store(VectorMath.exp(Lanes.load(weights + 4L * i).sub(max)), weights + 4L * i);
        }
        float total = 0;
        for (int i = 0; i < count; i++) {
            total += Lanes.get(weights + 4L * i);
        }

        Lanes.fill(sum, 4L * padded);
        long values = cache.values(layer);
        for (int p = first; p <= position;) {
            long value = values + cache.offset(table, kvHead, p);
            int end = Math.min(position + 1, (p / size + 1) * size);
            for (; p < end; p++, value += cache.positionBytes()) {
                FloatVector weight = Lanes.all(Lanes.get(weights + 4L * (p - first)));
                for (int i = 0; i < padded; i += Lanes.L) {
                    Lanes.store(Lanes.load(value + 4L * i).fma(weight, Lanes.load(sum + 4L * i)), sum + 4L * i);
                }
            }
        }
        float scale = 1 / total;
        for (int i = 0; i < dim; i++) {
            Lanes.set(out + 4L * i, Lanes.get(sum + 4L * i) * scale);
        }
    }
}
