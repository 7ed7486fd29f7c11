#include "common.cuh"

#define ROWS 8

// sums[t] over the lanes' shares of w · x for up to ROWS rows of x, each lane's in the order of columns: the same for a row whatever rows are with it.
DEVICE void dots(int type, const uint8_t* w, int in, const float* x, int stride, int rows, float* sums) {
    for (int t = 0; t < ROWS; t++) sums[t] = 0;
    for (int k = THREAD % 32 * 8; k < in; k += 256) {
        float v[8];
        decode(type, w, k, in, v);
        int n = in - k < 8 ? in - k : 8;
        for (int t = 0; t < ROWS; t++) {
            if (t < rows) {
                const float* xt = x + (size_t)t * stride + k;
                for (int i = 0; i < 8; i++) {
                    if (i < n) sums[t] = fmaf(v[i], xt[i], sums[t]);
                }
            }
        }
    }
    for (int t = 0; t < ROWS; t++) sums[t] = warp_sum(sums[t]);
}

// out[r][o] = w[o] · x[r] + bias[o]. A warp has one o and ROWS rows. Grid: (outs / warps, rows / ROWS).
KERNEL(linear) {
    BEGIN();
    const float* bias = (const float*)a.p[2];
    int type = a.i[0], in = a.i[1], outs = a.i[2], first = a.i[4], rows = a.i[5], xStride = a.i[6], outStride = a.i[7];
    int o = BLOCK_X * (THREADS / 32) + THREAD / 32;
    if (o >= outs) return;
    int start = BLOCK_Y * ROWS;
    int count = rows - start < ROWS ? rows - start : ROWS;
    float sums[ROWS];
    dots(type, (const uint8_t*)a.p[0] + (size_t)o * a.i[3], in, (const float*)a.p[1] + (size_t)(first + start) * xStride, xStride, count, sums);
    if (THREAD % 32 == 0) {
        for (int t = 0; t < count; t++) ((float*)a.p[3])[(size_t)(first + start + t) * outStride + o] = sums[t] + (bias ? bias[o] : 0);
    }
}

// A low-rank delta of consecutive rows, as LowRankTable writes it in Java.
struct Item {
    const uint8_t* a;
    const uint8_t* b;
    float* out;
    float scale;
    int aType, bType, rank, in, outs, aBytes, bBytes, first, rows, outStride, shrunk, pad;
};

// shrunk[row][k] = scale · a[k] · x[row]. A warp has one k. p: items, tiles (item, first k), x, shrunk.
KERNEL(low_rank_shrink) {
    BEGIN();
    const int* tile = (const int*)a.p[1] + 2 * BLOCK_X;
    const Item* it = (const Item*)a.p[0] + tile[0];
    int k = tile[1] + THREAD / 32;
    if (k >= it->rank) return;
    for (int r = 0; r < it->rows; r += ROWS) {
        int count = it->rows - r < ROWS ? it->rows - r : ROWS;
        float sums[ROWS];
        dots(it->aType, it->a + (size_t)k * it->aBytes, it->in, (const float*)a.p[2] + (size_t)(it->first + r) * a.i[0], a.i[0], count, sums);
        if (THREAD % 32 == 0) {
            for (int t = 0; t < count; t++) ((float*)a.p[3])[it->shrunk + (size_t)(r + t) * it->rank + k] = sums[t] * it->scale;
        }
    }
}

// out[row][o] += b[o] · shrunk[row]. A thread has one o. p: items, tiles (item, first o), shrunk.
KERNEL(low_rank_expand) {
    BEGIN();
    const int* tile = (const int*)a.p[1] + 2 * BLOCK_X;
    const Item* it = (const Item*)a.p[0] + tile[0];
    int o = tile[1] + THREAD;
    if (o >= it->outs) return;
    const uint8_t* b = it->b + (size_t)o * it->bBytes;
    for (int r = 0; r < it->rows; r++) {
        const float* v = (const float*)a.p[2] + it->shrunk + (size_t)r * it->rank;
        float sum = 0;
        for (int k = 0; k < it->rank; k += 8) {
            float w[8];
            decode(it->bType, b, k, it->rank, w);
            for (int i = 0; i < 8; i++) {
                if (k + i < it->rank) sum = fmaf(w[i], v[k + i], sum);
            }
        }
        it->out[(size_t)(it->first + r) * it->outStride + o] += sum;
    }
}
