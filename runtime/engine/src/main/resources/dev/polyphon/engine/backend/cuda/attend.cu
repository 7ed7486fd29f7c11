// Attention on the tensor cores, over keys and values in bf16.
//
// A warp has sixteen queries: rows of one sequence, each with the heads that share a KV head (grouped queries, Ainslie et al. 2023), so that keys and values
// are read once for all of them. It goes over spans of SPAN positions, in chunks of 32, with an online softmax (Milakov and Gimelshein 2018) inside a span;
// spans are added in order. Whether one warp does that (attend) or one for each span, whose parts are added afterwards (attend_spans, attend_sum; after
// Flash-Decoding, Dao et al. 2023), the operations on a row are the same, and so are its bits.
//
// Lane (g, t) holds, of queries g and g + 8, columns 8 t to 8 t + 7 of 32, and the weights of positions 8 t to 8 t + 7 of a chunk: which key stands in which
// column of a fragment is free, and chosen so that scores come out where the weights of the values' product have to be.
#include "common.cuh"

#define SPAN 256
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

// p: queries, keys, values (of the layer), tiles, block tables, slopes or null, out, parts. i: tiles, heads, kvHeads, dim, blockSize, window, strides of
// queries and out, heads of a KV head in a tile, such tiles of a KV head, spans. Grid: (tiles / warps, kvHeads · head tiles · (spans or 1)).
template <int DIM, int WARPS, bool PARTS>
DEVICE void attend_tile(const Args& a) {
    BEGIN();
    SHARED float totals[DIM / 2][32 * WARPS];
    int heads = a.i[1], kvHeads = a.i[2], dim = a.i[3], blockSize = a.i[4], window = a.i[5], tileHeads = a.i[8], headTiles = a.i[9], spans = a.i[10];
    int tile = BLOCK_X * WARPS + THREAD / 32;
    if (tile >= a.i[0]) return;
    Tile it = ((const Tile*)a.p[3])[tile];
    const int* table = (const int*)a.p[4] + it.table;
    int lane = THREAD % 32, g = lane / 4, t = lane % 4;
    int y = PARTS ? BLOCK_Y / spans : BLOCK_Y;
    int kvHead = y / headTiles, group = heads / kvHeads;
    int last = it.position + it.rows - 1;
    int head[2], row[2], position[2], seen[2];
    float slope[2];
    for (int h = 0; h < 2; h++) {
        int slot = g + 8 * h, inGroup = y % headTiles * tileHeads + slot % tileHeads;
        bool there = slot / tileHeads < it.rows && inGroup < group;
        head[h] = kvHead * group + (there ? inGroup : 0);
        row[h] = there ? it.first + slot / tileHeads : -1;
        position[h] = there ? it.position + slot / tileHeads : -1;
        seen[h] = window && position[h] >= window ? position[h] - window + 1 : 0;
        slope[h] = a.p[5] ? ((const float*)a.p[5])[head[h]] * LOG2_E : 0;
    }
    uint32_t q[DIM / 32][2][4];
#pragma unroll
    for (int s = 0; s < DIM / 32; s++) {
#pragma unroll
        for (int h = 0; h < 2; h++) {
            float v[8];
            for (int i = 0; i < 8; i++) v[i] = 0;
            int d = s * 32 + 8 * t;
            if (row[h] >= 0 && d < dim) {
                const float* x = (const float*)a.p[0] + (size_t)row[h] * a.i[6] + head[h] * dim + d;
                for (int i = 0; i < 8; i++) v[i] = x[i];
            }
            for (int i = 0; i < 4; i++) q[s][h][i] = bf16_pair(v[2 * i], v[2 * i + 1]);
        }
    }
    int from = window && it.position >= window ? it.position - window + 1 : 0;
    int span = PARTS ? (int)BLOCK_Y % spans : from / SPAN;
    if (PARTS && (span * SPAN > last || (span + 1) * SPAN <= from)) return;
    int spanEnd = PARTS ? span + 1 : last / SPAN + 1;
    Softmax total[2];
    for (int h = 0; h < 2; h++) {
        total[h].m = minus_infinity();
        total[h].l = 0;
    }
    if (!PARTS) {
#pragma unroll
        for (int i = 0; i < DIM / 2; i++) totals[i][THREAD] = 0;
    }
    for (; span < spanEnd; span++) {
        Softmax part[2];
        float o[DIM / 8][4];
#pragma unroll
        for (int n = 0; n < DIM / 8; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) o[n][i] = 0;
        for (int h = 0; h < 2; h++) {
            part[h].m = minus_infinity();
            part[h].l = 0;
        }
        int begin = span * SPAN > from / 32 * 32 ? span * SPAN : from / 32 * 32;
        for (int base = begin; base < (span + 1) * SPAN && base <= last; base += 32) {
            int place = table[base / blockSize], off = base % blockSize;
            const uint16_t* keys = page<uint16_t>(a.p[1], place, kvHead, blockSize, dim) + (size_t)off * dim + 8 * t;
            const uint16_t* values = page<uint16_t>(a.p[2], place, kvHead, blockSize, dim) + off + 8 * t;
            float s[4][4];
#pragma unroll
            for (int j = 0; j < 4; j++) {
                for (int i = 0; i < 4; i++) s[j][i] = 0;
                const uint16_t* key = keys + (g / 2 * 8 + 2 * j + g % 2) * dim;
#pragma unroll
                for (int d = 0; d < DIM / 32; d++) {
                    uint4 k = {0, 0, 0, 0};
                    if (d * 32 + 8 * t < dim) k = *(const uint4*)(key + d * 32);
                    mma_bf16(s[j], q[d][0][0], q[d][1][0], q[d][0][1], q[d][1][1], k.x, k.y);
                    mma_bf16(s[j], q[d][0][2], q[d][1][2], q[d][0][3], q[d][1][3], k.z, k.w);
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
                        int key = base + 8 * t + 2 * j + e;
                        float score = s[j][2 * h + e] * a.f[0];
                        if (a.f[1] != 0) score = a.f[1] * tanhf(score / a.f[1]);
                        score = fmaf(slope[h], (float)key, score * LOG2_E);
                        score = key <= position[h] && key >= seen[h] ? score : minus_infinity();
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
                    uint4 v = *(const uint4*)(values + (size_t)(n * 8 + g) * blockSize);
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
        for (int h = 0; h < 2; h++) part[h].l = quad_sum(part[h].l);
        if (PARTS) {
            // Of a tile of one row and its heads: for each span the sums, the greatest scores and the weights.
            float* to = (float*)a.p[7] + (((size_t)tile * kvHeads * headTiles + y) * spans + span) * tileHeads * (DIM + 2);
#pragma unroll
            for (int h = 0; h < 2; h++) {
                int slot = g + 8 * h;
                if (row[h] < 0) continue;
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
        } else {
            float keepTotal[2], keepPart[2];
            for (int h = 0; h < 2; h++) merge(&total[h], part[h], &keepTotal[h], &keepPart[h]);
#pragma unroll
            for (int n = 0; n < DIM / 8; n++)
#pragma unroll
                for (int i = 0; i < 4; i++) totals[n * 4 + i][THREAD] = merged(totals[n * 4 + i][THREAD], o[n][i], keepTotal[i / 2], keepPart[i / 2]);
        }
    }
    if (!PARTS) {
#pragma unroll
        for (int n = 0; n < DIM / 8; n++) {
#pragma unroll
            for (int i = 0; i < 4; i++) {
                int d = n * 8 + 2 * t + i % 2;
                if (row[i / 2] >= 0 && d < dim) {
                    ((float*)a.p[6])[(size_t)row[i / 2] * a.i[7] + head[i / 2] * dim + d] = totals[n * 4 + i][THREAD] / total[i / 2].l;
                }
            }
        }
    }
}

// Adds the spans of tiles of one row. p, i: attend's. Grid: (tiles, kvHeads · head tiles).
template <int DIM>
DEVICE void attend_add(const Args& a) {
    BEGIN();
    int heads = a.i[1], kvHeads = a.i[2], dim = a.i[3], window = a.i[5], tileHeads = a.i[8], headTiles = a.i[9], spans = a.i[10];
    Tile it = ((const Tile*)a.p[3])[BLOCK_X];
    int kvHead = BLOCK_Y / headTiles, group = heads / kvHeads;
    int from = window && it.position >= window ? it.position - window + 1 : 0;
    for (int n = THREAD; n < tileHeads * dim; n += THREADS) {
        int slot = n / dim, d = n % dim, inGroup = BLOCK_Y % headTiles * tileHeads + slot;
        if (inGroup >= group) continue;
        Softmax total = {minus_infinity(), 0};
        float sum = 0;
        for (int span = from / SPAN; span <= it.position / SPAN; span++) {
            const float* part = (const float*)a.p[7] + (((size_t)BLOCK_X * kvHeads * headTiles + BLOCK_Y) * spans + span) * tileHeads * (DIM + 2);
            Softmax one = {part[tileHeads * DIM + slot], part[tileHeads * (DIM + 1) + slot]};
            float keepTotal, keepPart;
            merge(&total, one, &keepTotal, &keepPart);
            sum = merged(sum, part[slot * DIM + d], keepTotal, keepPart);
        }
        ((float*)a.p[6])[(size_t)it.first * a.i[7] + (kvHead * group + inGroup) * dim + d] = sum / total.l;
    }
}

KERNEL(attend_64) { attend_tile<64, 4, false>(a); }
KERNEL(attend_128) { attend_tile<128, 4, false>(a); }
KERNEL(attend_256) { attend_tile<256, 2, false>(a); }
KERNEL(attend_spans_64) { attend_tile<64, 4, true>(a); }
KERNEL(attend_spans_128) { attend_tile<128, 4, true>(a); }
KERNEL(attend_spans_256) { attend_tile<256, 2, true>(a); }
KERNEL(attend_sum_64) { attend_add<64>(a); }
KERNEL(attend_sum_128) { attend_add<128>(a); }
KERNEL(attend_sum_256) { attend_add<256>(a); }
