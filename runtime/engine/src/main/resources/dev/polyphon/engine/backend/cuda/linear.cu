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

// Ranks or outputs from `start` on and rows from `row` on, of an item.
struct Piece {
    int item, start, row, pad;
};

#define RANKS 4
#define SEGMENT_ROWS 4
#define SHRINK_WARPS 4
#define OUTS 4

// sums[k][r] over the thread's columns, eight of every SHRINK_WARPS · 256: the same for a row whatever rows are with it.
template <int TYPE, int R>
DEVICE void shrink(const Item* it, int k, const float* x, int stride, int rows, float (*sums)[R]) {
    int type = TYPE < 0 ? it->aType : TYPE, in = it->in, ranks = it->rank - k < RANKS ? it->rank - k : RANKS;
    bool aligned = stride % 4 == 0;
#pragma unroll 2
    for (int c = THREAD * 8; c < in; c += SHRINK_WARPS * 256) {
        float w[RANKS][8];
#pragma unroll
        for (int j = 0; j < RANKS; j++) decode(type, it->a + (size_t)(k + (j < ranks ? j : 0)) * it->aBytes, c, in, w[j]);
#pragma unroll
        for (int r = 0; r < R; r++) {
            if (r >= rows) break;
            float v[8];
            floats4(x + (size_t)r * stride + c, aligned, in - c, v);
            floats4(x + (size_t)r * stride + c + 4, aligned, in - c - 4, v + 4);
#pragma unroll
            for (int j = 0; j < RANKS; j++)
                for (int i = 0; i < 8; i++) sums[j][r] = fmaf(w[j][i], v[i], sums[j][r]);
        }
    }
}

template <int R>
DEVICE void shrink_tile(const Args& a, const Item* it, Piece piece, int rows) {
    SHARED float parts[SHRINK_WARPS][RANKS * R];
    float sums[RANKS][R];
    for (int j = 0; j < RANKS; j++)
        for (int r = 0; r < R; r++) sums[j][r] = 0;
    const float* x = (const float*)a.p[2] + (size_t)(it->first + piece.row) * a.i[0];
    if (it->aType == BF16) shrink<BF16, R>(it, piece.start, x, a.i[0], rows, sums);
    else if (it->aType == F16) shrink<F16, R>(it, piece.start, x, a.i[0], rows, sums);
    else if (it->aType == F32) shrink<F32, R>(it, piece.start, x, a.i[0], rows, sums);
    else shrink<-1, R>(it, piece.start, x, a.i[0], rows, sums);
#pragma unroll
    for (int j = 0; j < RANKS; j++) {
#pragma unroll
        for (int r = 0; r < R; r++) {
            float sum = warp_sum(sums[j][r]);
            if (THREAD % 32 == 0) parts[THREAD / 32][j * R + r] = sum;
        }
    }
    SYNC();
    int k = piece.start + THREAD / R, r = THREAD % R;
    if (THREAD < RANKS * R && k < it->rank && r < rows) {
        float sum = 0;
        for (int w = 0; w < SHRINK_WARPS; w++) sum += parts[w][THREAD];
        ((float*)a.p[3])[it->shrunk + (size_t)(piece.row + r) * it->rank + k] = sum * it->scale;
    }
}

// shrunk[row][k] = scale · a[k] · x[row], for RANKS ranks and up to SEGMENT_ROWS rows. p: items, tiles, x, shrunk. i: stride of x. Grid: tiles.
KERNEL_OF(low_rank_shrink, 128, 6) {
    LET_NEXT_START();
    Piece piece = ((const Piece*)a.p[1])[BLOCK_X];
    const Item* it = (const Item*)a.p[0] + piece.item;
    int rows = it->rows - piece.row < SEGMENT_ROWS ? it->rows - piece.row : SEGMENT_ROWS;
    for (int j = 0; j < RANKS && piece.start + j < it->rank; j++) {
        for (int at = THREAD * 128; at < it->aBytes; at += THREADS * 128) soon(it->a + (size_t)(piece.start + j) * it->aBytes + at);
    }
    WAIT_FOR_LAST();
    if (rows == 1) shrink_tile<1>(a, it, piece, 1);
    else shrink_tile<SEGMENT_ROWS>(a, it, piece, rows);
}

// A thread has OUTS outputs, THREADS apart.
template <int TYPE, int R>
DEVICE void expand(const Item* it, Piece piece, const float* shrunk, int rows) {
    int type = TYPE < 0 ? it->bType : TYPE, rank = it->rank, first = piece.start + THREAD;
    bool aligned = rank % 4 == 0;
    float sums[OUTS][R];
    for (int j = 0; j < OUTS; j++)
        for (int r = 0; r < R; r++) sums[j][r] = 0;
    for (int k = 0; k < rank; k += 8) {
        float w[OUTS][8];
#pragma unroll
        for (int j = 0; j < OUTS; j++) {
            int o = first + j * THREADS;
            decode(type, it->b + (size_t)(o < it->outs ? o : 0) * it->bBytes, k, rank, w[j]);
        }
#pragma unroll
        for (int r = 0; r < R; r++) {
            if (r >= rows) break;
            float v[8];
            floats4(shrunk + (size_t)r * rank + k, aligned, rank - k, v);
            floats4(shrunk + (size_t)r * rank + k + 4, aligned, rank - k - 4, v + 4);
#pragma unroll
            for (int j = 0; j < OUTS; j++)
                for (int i = 0; i < 8; i++) sums[j][r] = fmaf(w[j][i], v[i], sums[j][r]);
        }
    }
#pragma unroll
    for (int r = 0; r < R; r++) {
        if (r >= rows) break;
        float* out = it->out + (size_t)(it->first + piece.row + r) * it->outStride;
#pragma unroll
        for (int j = 0; j < OUTS; j++) {
            int o = first + j * THREADS;
            if (o < it->outs) out[o] += sums[j][r];
        }
    }
}

template <int R>
DEVICE void expand_tile(const Item* it, Piece piece, const float* shrunk, int rows) {
    if (it->bType == BF16) expand<BF16, R>(it, piece, shrunk, rows);
    else if (it->bType == F16) expand<F16, R>(it, piece, shrunk, rows);
    else if (it->bType == F32) expand<F32, R>(it, piece, shrunk, rows);
    else expand<-1, R>(it, piece, shrunk, rows);
}

// out[row][o] += b[o] · shrunk[row], for OUTS · THREADS outputs and up to SEGMENT_ROWS rows. p: items, tiles, shrunk. Grid: tiles.
KERNEL_OF(low_rank_expand, 128, 7) {
    LET_NEXT_START();
    Piece piece = ((const Piece*)a.p[1])[BLOCK_X];
    const Item* it = (const Item*)a.p[0] + piece.item;
    int rows = it->rows - piece.row < SEGMENT_ROWS ? it->rows - piece.row : SEGMENT_ROWS;
    for (int j = 0; j < OUTS; j++) {
        int o = piece.start + j * THREADS + THREAD;
        if (o < it->outs) soon(it->b + (size_t)o * it->bBytes);
    }
    WAIT_FOR_LAST();
    const float* shrunk = (const float*)a.p[2] + it->shrunk + (size_t)piece.row * it->rank;
    if (rows == 1) expand_tile<1>(it, piece, shrunk, 1);
    else expand_tile<SEGMENT_ROWS>(it, piece, shrunk, rows);
}
