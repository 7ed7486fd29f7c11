// Attention on the tensor cores, over keys and values in bf16.
//
// A warp has sixteen queries: rows of one sequence, each with the heads that share a KV head (grouped queries, Ainslie et al. 2023), so that keys and values
// are read once for all of them. It goes over spans of SPAN positions, in chunks of 32, with an online softmax (Milakov and Gimelshein 2018) inside a span;
// spans are added in order. Whether one warp does that (attend_tile) or one for each span, whose parts are added afterwards (attend_split; after
// Flash-Decoding, Dao et al. 2023), the operations on a row are the same, and so are its bits.
//
// Lane (g, t) holds, of queries g and g + 8, columns 8 t to 8 t + 7 of 32, and the weights of positions 8 t to 8 t + 7 of a chunk: which key stands in which
// column of a fragment is free, and chosen so that scores come out where the weights of the values' product have to be.
#include "common.cuh"

#define SPAN 64
#define LOG2_E 1.44269504f

DEVICE float minus_infinity() { return bits(0xff800000u); }

// The greatest score, and the sum of weights relative to 2^m.
struct Softmax {
    float m, l;
};

// Adds a span's part to what was before.
DEVICE void merge(Softmax* total, Softmax part, float* keepTotal, float* keepPart) {
    float m = fmaxf(total->m, part.m);
    *keepTotal = total->m == m ? 1 : power2(total->m - m);
    *keepPart = part.m == m ? 1 : power2(part.m - m);
    total->l = fmaf(part.l, *keepPart, total->l * *keepTotal);
    total->m = m;
}

DEVICE float merged(float total, float part, float keepTotal, float keepPart) { return fmaf(part, keepPart, total * keepTotal); }

// As AttentionTiles writes it in Java: rows from `first` on, at positions from `position` on.
struct Tile {
    int first, rows, position, table;
};

// Of two positions' values those up to the last position: what stands behind it may be no number at all.
DEVICE uint32_t only(uint32_t pair, int position, int last) {
    return position > last ? 0 : position + 1 > last ? pair & 0xffffu : pair;
}

DEVICE float quad_max(float v) {
    v = fmaxf(v, exchange(v, 1));
    return fmaxf(v, exchange(v, 2));
}

DEVICE float quad_sum(float v) {
    v += exchange(v, 1);
    return v + exchange(v, 2);
}

// The queries of a warp's tile.
template <int DIM>
struct Queries {
    uint32_t q[DIM / 32][2][4];
    int head[2], row[2], position[2], seen[2];
    float slope[2];
};

// Which rows and heads a lane's two queries are. y: the KV head and the tile of its heads.
template <int DIM>
DEVICE void locate(const Args& a, const Tile& it, int y, Queries<DIM>* mine) {
    int heads = a.i[1], kvHeads = a.i[2], window = a.i[5], tileHeads = a.i[8], headTiles = a.i[9];
    int kvHead = y / headTiles, group = heads / kvHeads, g = THREAD % 32 / 4;
    for (int h = 0; h < 2; h++) {
        int slot = g + 8 * h, inGroup = y % headTiles * tileHeads + slot % tileHeads;
        bool there = slot / tileHeads < it.rows && inGroup < group;
        mine->head[h] = kvHead * group + (there ? inGroup : 0);
        mine->row[h] = there ? it.first + slot / tileHeads : -1;
        mine->position[h] = there ? it.position + slot / tileHeads : -1;
        mine->seen[h] = window && mine->position[h] >= window ? mine->position[h] - window + 1 : 0;
        mine->slope[h] = a.p[5] ? ((const float*)a.p[5])[mine->head[h]] * LOG2_E : 0;
    }
}

template <int DIM>
DEVICE void load(const Args& a, Queries<DIM>* mine) {
    int dim = a.i[3], t = THREAD % 4;
#pragma unroll
    for (int s = 0; s < DIM / 32; s++) {
#pragma unroll
        for (int h = 0; h < 2; h++) {
            float v[8];
            for (int i = 0; i < 8; i++) v[i] = 0;
            int d = s * 32 + 8 * t;
            if (mine->row[h] >= 0 && d < dim) {
                const float* x = (const float*)a.p[0] + (size_t)mine->row[h] * a.i[6] + mine->head[h] * dim + d;
                for (int i = 0; i < 8; i++) v[i] = x[i];
            }
            for (int i = 0; i < 4; i++) mine->q[s][h][i] = bf16_pair(v[2 * i], v[2 * i + 1]);
        }
    }
}

// Adds 32 positions from `base` on to a span's part. key(j, s): columns 32 s + 8 t to 32 s + 8 t + 7 of key g / 2 · 8 + 2 j + g % 2; value(n): column 8 n + g
// of values 8 t to 8 t + 7. `last`: the tile's last position.
template <int DIM, typename Keys, typename Values>
DEVICE void attend_chunk(const Args& a, const Queries<DIM>& mine, int base, int last, Keys key, Values value, Softmax* part, float (*o)[4]) {
    int dim = a.i[3], t = THREAD % 4;
    float s[4][4];
#pragma unroll
    for (int j = 0; j < 4; j++) {
        for (int i = 0; i < 4; i++) s[j][i] = 0;
#pragma unroll
        for (int d = 0; d < DIM / 32; d++) {
            uint4 k = key(j, d);
            mma_bf16(s[j], mine.q[d][0][0], mine.q[d][1][0], mine.q[d][0][1], mine.q[d][1][1], k.x, k.y);
            mma_bf16(s[j], mine.q[d][0][2], mine.q[d][1][2], mine.q[d][0][3], mine.q[d][1][3], k.z, k.w);
        }
    }
    uint32_t p[2][4];
#pragma unroll
    for (int h = 0; h < 2; h++) {
        float most = minus_infinity();
#pragma unroll
        for (int j = 0; j < 4; j++) {
#pragma unroll
            for (int e = 0; e < 2; e++) {
                int at = base + 8 * t + 2 * j + e;
                float score = s[j][2 * h + e] * a.f[0];
                if (a.f[1] != 0) score = a.f[1] * tanhf(score / a.f[1]);
                score = fmaf(mine.slope[h], (float)at, score * LOG2_E);
                score = at <= mine.position[h] && at >= mine.seen[h] ? score : minus_infinity();
                s[j][2 * h + e] = score;
                most = fmaxf(most, score);
            }
        }
        most = fmaxf(part[h].m, quad_max(most));
        float keep = part[h].m == most ? 1 : power2(part[h].m - most);
        float sum = 0;
#pragma unroll
        for (int j = 0; j < 4; j++) {
            float u = s[j][2 * h] == minus_infinity() ? 0 : power2(s[j][2 * h] - most);
            float v = s[j][2 * h + 1] == minus_infinity() ? 0 : power2(s[j][2 * h + 1] - most);
            sum += u + v;
            p[h][j] = bf16_pair(u, v);
        }
        part[h].l = fmaf(part[h].l, keep, sum);
        part[h].m = most;
#pragma unroll
        for (int n = 0; n < DIM / 8; n++) {
            o[n][2 * h] *= keep;
            o[n][2 * h + 1] *= keep;
        }
    }
#pragma unroll
    for (int n = 0; n < DIM / 8; n++) {
        if (n * 8 < dim) {
            uint4 v = value(n);
            if (base + 31 > last) {
                int at = base + 8 * t;
                v.x = only(v.x, at, last);
                v.y = only(v.y, at + 2, last);
                v.z = only(v.z, at + 4, last);
                v.w = only(v.w, at + 6, last);
            }
            mma_bf16(o[n], p[0][0], p[1][0], p[0][1], p[1][1], v.x, v.y);
            mma_bf16(o[n], p[0][2], p[1][2], p[0][3], p[1][3], v.z, v.w);
        }
    }
}

template <int DIM>
DEVICE void start(Softmax* part, float (*o)[4]) {
#pragma unroll
    for (int n = 0; n < DIM / 8; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) o[n][i] = 0;
    for (int h = 0; h < 2; h++) {
        part[h].m = minus_infinity();
        part[h].l = 0;
    }
}

// The first of a tile's positions that any of its rows sees.
DEVICE int seen_from(const Tile& it, int window) { return window && it.position >= window ? it.position - window + 1 : 0; }

// Where the sixteen bytes `piece` of a line stand in shared memory, so that eight lanes that read at once find them in different banks.
DEVICE int swizzled(int line, int piece, int pieces) { return line * pieces + (piece ^ (line & 1) << 2); }

// Rows of prompts. A warp has a tile; a block has WARPS neighbouring tiles of one sequence (the last ones may have no rows) and goes over all spans that any
// of them sees, with the keys and values of a span, or of two, in shared memory.
// p: queries, keys, values (of the layer), tiles, block tables, slopes or null, out, parts, counters. i: tiles, heads, kvHeads, dim, blockSize, window,
// strides of queries and out, heads of a KV head in a tile, such tiles of a KV head, spans. Grid: (tiles / warps, kvHeads · head tiles).
template <int DIM, int WARPS, int STAGES>
DEVICE void attend_tile(const Args& a) {
    const int THREADS_OF_BLOCK = 32 * WARPS, KEY = DIM / 8, VALUE = SPAN / 8;
    SHARED_AT_LAUNCH(uint4, memory);
    float(*totals)[THREADS_OF_BLOCK] = (float(*)[THREADS_OF_BLOCK])(memory + STAGES * 2 * SPAN * KEY);
    LET_NEXT_START();
    int dim = a.i[3], blockSize = a.i[4], kvHead = BLOCK_Y / a.i[9];
    // The longest first.
    const Tile* tiles = (const Tile*)a.p[3] + (GRID_X - 1 - BLOCK_X) * WARPS;
    Tile it = tiles[THREAD / 32], first = tiles[0], end = tiles[WARPS - 1];
    const int* table = (const int*)a.p[4] + it.table;
    int lane = THREAD % 32, g = lane / 4, t = lane % 4;
    int last = it.position + it.rows - 1, from = seen_from(it, a.i[5]), lastOfAll = end.position + end.rows - 1;
    Queries<DIM> mine;
    locate<DIM>(a, it, BLOCK_Y, &mine);
    WAIT_FOR_LAST();
    load<DIM>(a, &mine);
    auto fetch = [&](int span) {
        if (span * SPAN > lastOfAll) return;
        uint4* keys = memory + (span % STAGES) * 2 * SPAN * KEY;
        uint4* values = keys + SPAN * KEY;
        // A block of the cache has a multiple of 32 positions: either half of a span is in one.
        const uint16_t* k[2];
        const uint16_t* v[2];
#pragma unroll
        for (int h = 0; h < 2; h++) {
            int at = span * SPAN + h * (SPAN / 2);
            bool there = at <= lastOfAll;
            int place = there ? table[at / blockSize] : 0, off = at % blockSize;
            k[h] = there ? page<uint16_t>(a.p[1], place, kvHead, blockSize, dim) + (size_t)off * dim : 0;
            v[h] = there ? page<uint16_t>(a.p[2], place, kvHead, blockSize, dim) + off : 0;
        }
#pragma unroll
        for (int c = THREAD; c < SPAN * KEY; c += THREADS_OF_BLOCK) {
            int line = c / KEY, piece = c % KEY, h = line / (SPAN / 2);
            bool there = k[h] && piece * 8 < dim;
            copy16(keys + swizzled(line, piece, KEY), there ? k[h] + line % (SPAN / 2) * dim + piece * 8 : (const uint16_t*)a.p[3], there);
        }
#pragma unroll
        for (int c = THREAD; c < DIM * VALUE; c += THREADS_OF_BLOCK) {
            int line = c / VALUE, piece = c % VALUE, h = piece / (VALUE / 2);
            bool there = v[h] && line < dim;
            copy16(values + swizzled(line, piece, VALUE), there ? v[h] + (size_t)line * blockSize + piece % (VALUE / 2) * 8 : (const uint16_t*)a.p[3], there);
        }
    };
    Softmax total[2];
    for (int h = 0; h < 2; h++) {
        total[h].m = minus_infinity();
        total[h].l = 0;
    }
#pragma unroll
    for (int i = 0; i < DIM / 2; i++) totals[i][THREAD] = 0;
    int firstSpan = seen_from(first, a.i[5]) / SPAN;
    if (STAGES > 1) {
        fetch(firstSpan);
        copies_end();
    }
    for (int span = firstSpan; span <= lastOfAll / SPAN; span++) {
        fetch(span + STAGES - 1);
        copies_end();
        copies_wait<STAGES - 1>();
        SYNC();
        if (it.rows > 0 && span * SPAN <= last && (span + 1) * SPAN > from) {
            const uint4* keys = memory + (span % STAGES) * 2 * SPAN * KEY;
            const uint4* values = keys + SPAN * KEY;
            Softmax part[2];
            float o[DIM / 8][4];
            start<DIM>(part, o);
            int begin = span * SPAN > from / 32 * 32 ? span * SPAN : from / 32 * 32;
            for (int base = begin; base < (span + 1) * SPAN && base <= last; base += 32) {
                int at = base % SPAN;
                auto key = [&](int j, int d) { return keys[swizzled(at + g / 2 * 8 + 2 * j + g % 2, d * 4 + t, KEY)]; };
                auto value = [&](int n) { return values[swizzled(n * 8 + g, at / 8 + t, VALUE)]; };
                attend_chunk<DIM>(a, mine, base, last, key, value, part, o);
            }
            float keepTotal[2], keepPart[2];
            for (int h = 0; h < 2; h++) {
                part[h].l = quad_sum(part[h].l);
                merge(&total[h], part[h], &keepTotal[h], &keepPart[h]);
            }
#pragma unroll
            for (int n = 0; n < DIM / 8; n++)
#pragma unroll
                for (int i = 0; i < 4; i++) totals[n * 4 + i][THREAD] = merged(totals[n * 4 + i][THREAD], o[n][i], keepTotal[i / 2], keepPart[i / 2]);
        }
        SYNC();
    }
#pragma unroll
    for (int n = 0; n < DIM / 8; n++) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            int d = n * 8 + 2 * t + i % 2;
            if (mine.row[i / 2] >= 0 && d < dim) {
                ((float*)a.p[6])[(size_t)mine.row[i / 2] * a.i[7] + mine.head[i / 2] * dim + d] = totals[n * 4 + i][THREAD] / total[i / 2].l;
            }
        }
    }
}

// Adds the spans of a tile of one row, by all threads of a block. parts: of each span the sums, the greatest scores and the weights of the tile's heads.
template <int DIM>
DEVICE void add_spans(const Args& a, const Tile& it, int y, const float* parts) {
    int heads = a.i[1], kvHeads = a.i[2], dim = a.i[3], tileHeads = a.i[8], headTiles = a.i[9];
    int kvHead = y / headTiles, group = heads / kvHeads;
    for (int n = THREAD; n < tileHeads * dim; n += THREADS) {
        int slot = n / dim, d = n % dim, inGroup = y % headTiles * tileHeads + slot;
        if (inGroup >= group) continue;
        Softmax total = {minus_infinity(), 0};
        float sum = 0;
#pragma unroll 4
        for (int span = seen_from(it, a.i[5]) / SPAN; span <= it.position / SPAN; span++) {
            const float* part = parts + (size_t)span * tileHeads * (DIM + 2);
            Softmax one = {fresh(part + tileHeads * DIM + slot), fresh(part + tileHeads * (DIM + 1) + slot)};
            float keepTotal, keepPart;
            merge(&total, one, &keepTotal, &keepPart);
            sum = merged(sum, fresh(part + slot * DIM + d), keepTotal, keepPart);
        }
        ((float*)a.p[6])[(size_t)it.first * a.i[7] + (kvHead * group + inGroup) * dim + d] = sum / total.l;
    }
}

// The tiles of sequences with one row, whose positions are split: a warp has a span, and the block that is the last of its tile's to end adds them all.
// p, i: attend_tile's. Grid: (kvHeads · head tiles · blocks of spans, tiles).
template <int DIM, int WARPS>
DEVICE void attend_split(const Args& a) {
    SHARED uint32_t arrived;
    LET_NEXT_START();
    int kvHeads = a.i[2], dim = a.i[3], blockSize = a.i[4], tileHeads = a.i[8], headTiles = a.i[9], spans = a.i[10];
    int spanBlocks = (spans + WARPS - 1) / WARPS, y = BLOCK_X / spanBlocks, kvHead = y / headTiles;
    Tile it = ((const Tile*)a.p[3])[BLOCK_Y];
    const int* table = (const int*)a.p[4] + it.table;
    int lane = THREAD % 32, g = lane / 4, t = lane % 4;
    int last = it.position, from = seen_from(it, a.i[5]);
    int span = BLOCK_X % spanBlocks * WARPS + THREAD / 32;
    float* parts = (float*)a.p[7] + ((size_t)BLOCK_Y * kvHeads * headTiles + y) * spans * tileHeads * (DIM + 2);
    int begin = span * SPAN > from / 32 * 32 ? span * SPAN : from / 32 * 32;
    bool busy = span * SPAN <= last && (span + 1) * SPAN > from;
    int place = busy ? table[begin / blockSize] : 0;
    Queries<DIM> mine;
    locate<DIM>(a, it, y, &mine);
    WAIT_FOR_LAST();
    if (busy) {
        load<DIM>(a, &mine);
        Softmax part[2];
        float o[DIM / 8][4];
        start<DIM>(part, o);
        for (int base = begin; base < (span + 1) * SPAN && base <= last; base += 32) {
            if (base != begin) place = table[base / blockSize];
            int off = base % blockSize;
            const uint16_t* keys = page<uint16_t>(a.p[1], place, kvHead, blockSize, dim) + (size_t)off * dim + 8 * t;
            const uint16_t* values = page<uint16_t>(a.p[2], place, kvHead, blockSize, dim) + off + 8 * t;
            // All that the chunk needs, before any of it is used.
            const int EARLY = DIM <= 128 ? DIM / 8 : 1;
            uint4 early[EARLY];
#pragma unroll
            for (int n = 0; n < EARLY; n++) {
                if (n * 8 < dim) early[n] = *(const uint4*)(values + (size_t)(n * 8 + g) * blockSize);
            }
            auto key = [&](int j, int d) {
                uint4 k = {0, 0, 0, 0};
                if (d * 32 + 8 * t < dim) k = *(const uint4*)(keys + (g / 2 * 8 + 2 * j + g % 2) * dim + d * 32);
                return k;
            };
            auto value = [&](int n) { return DIM <= 128 ? early[DIM <= 128 ? n : 0] : *(const uint4*)(values + (size_t)(n * 8 + g) * blockSize); };
            attend_chunk<DIM>(a, mine, base, last, key, value, part, o);
        }
        float* to = parts + (size_t)span * tileHeads * (DIM + 2);
#pragma unroll
        for (int h = 0; h < 2; h++) {
            part[h].l = quad_sum(part[h].l);
            int slot = g + 8 * h;
            if (mine.row[h] < 0) continue;
#pragma unroll
            for (int n = 0; n < DIM / 8; n++) {
                to[slot * DIM + n * 8 + 2 * t] = o[n][2 * h];
                to[slot * DIM + n * 8 + 2 * t + 1] = o[n][2 * h + 1];
            }
            if (t == 0) {
                to[tileHeads * DIM + slot] = part[h].m;
                to[tileHeads * (DIM + 1) + slot] = part[h].l;
            }
        }
    }
    uint32_t* counter = (uint32_t*)a.p[8] + (size_t)BLOCK_Y * kvHeads * headTiles + y;
    seen_by_all();
    SYNC();
    if (THREAD == 0) arrived = take_number(counter);
    SYNC();
    if (arrived != (uint32_t)spanBlocks - 1) return;
    seen_by_all();
    if (THREAD == 0) *counter = 0;
    add_spans<DIM>(a, it, y, parts);
}

// With 2 · STAGES · SPAN · DIM · 2 + DIM / 2 · threads · 4 bytes of shared memory.
KERNEL_OF(attend_64, 128, 3) { attend_tile<64, 4, 2>(a); }
KERNEL_OF(attend_128, 128, 2) { attend_tile<128, 4, 2>(a); }
KERNEL_OF(attend_256, 64, 2) { attend_tile<256, 2, 1>(a); }
KERNEL_OF(attend_split_64, 256, 2) { attend_split<64, 8>(a); }
KERNEL_OF(attend_split_128, 128, 2) { attend_split<128, 4>(a); }
KERNEL(attend_split_256) { attend_split<256, 4>(a); }
