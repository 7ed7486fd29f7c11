#include "common.cuh"

// out[row] = table[ids[row]] · scale. p: table, ids, out. Grid: rows.
KERNEL(embed) {
    BEGIN();
    int type = a.i[0], in = a.i[1];
    const uint8_t* row = (const uint8_t*)a.p[0] + (size_t)((const int*)a.p[1])[BLOCK_X] * a.i[2];
    float* out = (float*)a.p[2] + (size_t)BLOCK_X * a.i[3];
    for (int k = THREAD * 8; k < in; k += THREADS * 8) {
        float w[8];
        decode(type, row, k, in, w);
        for (int i = 0; i < 8 && k + i < in; i++) out[k + i] = w[i] * a.f[0];
    }
}

// Normalises a run of `group` columns. p: x, weight, bias, out. Grid: (groups, rows).
KERNEL(normalise) {
    BEGIN();
    SHARED float reduce[32];
    int layer = a.i[0], group = a.i[1];
    const float* x = (const float*)a.p[0] + (size_t)BLOCK_Y * a.i[2] + (size_t)BLOCK_X * group;
    const float* weight = (const float*)a.p[1];
    const float* bias = (const float*)a.p[2];
    float* out = (float*)a.p[3] + (size_t)BLOCK_Y * a.i[3] + (size_t)BLOCK_X * group;
    float mean = 0;
    if (layer) {
        float sum = 0;
        for (int c = THREAD; c < group; c += THREADS) sum += x[c];
        mean = block_sum(sum, reduce) / group;
    }
    float squares = 0;
    for (int c = THREAD; c < group; c += THREADS) squares = fmaf(x[c] - mean, x[c] - mean, squares);
    float scale = 1 / sqrtf(block_sum(squares, reduce) / group + a.f[0]);
    for (int c = THREAD; c < group; c += THREADS) {
        float y = (x[c] - mean) * scale;
        if (weight) y *= weight[c];
        if (bias) y += bias[c];
        out[c] = y;
    }
}

DEVICE float activation(int f, float x) {
    switch (f) {
        case 0: return x / (1 + expf(-x));
        case 1: return 0.5f * x * erfcf(x * -0.70710678f);
        case 2: return 0.5f * x * (1 + tanhf(0.79788456f * (x + 0.044715f * x * x * x)));
        case 3: return fmaxf(x, 0.0f);
        case 4: return x / (1 + expf(-1.702f * x));
        default: return tanhf(x);
    }
}

// out = f(gate) · up; the numbers of f are Activation's in Java. p: gate, up, out. Grid: (columns / threads, rows).
KERNEL(activate) {
    BEGIN();
    int c = BLOCK_X * THREADS + THREAD;
    if (c >= a.i[1]) return;
    float y = activation(a.i[0], ((const float*)a.p[0])[(size_t)BLOCK_Y * a.i[2] + c]);
    if (a.p[1]) y *= ((const float*)a.p[1])[(size_t)BLOCK_Y * a.i[3] + c];
    ((float*)a.p[2])[(size_t)BLOCK_Y * a.i[4] + c] = y;
}

// to[to row] = keep · to[to row] + factor · from[from row]. p: from, to, rows to take or null. Grid: (columns / threads, rows).
KERNEL(rows) {
    BEGIN();
    int c = BLOCK_X * THREADS + THREAD;
    if (c >= a.i[0]) return;
    int from = a.p[2] ? ((const int*)a.p[2])[BLOCK_Y] : a.i[1] + BLOCK_Y;
    float x = ((const float*)a.p[0])[(size_t)from * a.i[3] + c];
    float* to = (float*)a.p[1] + (size_t)(a.i[2] + BLOCK_Y) * a.i[4] + c;
    *to = a.i[5] ? fmaf(a.f[0], x, *to) : x;
}

// x = scale · x + shift, from row i1 on. p: x, scale, shift. Grid: (columns / threads, rows).
KERNEL(scale_shift) {
    BEGIN();
    int c = BLOCK_X * THREADS + THREAD;
    if (c >= a.i[0]) return;
    float* x = (float*)a.p[0] + (size_t)(a.i[1] + BLOCK_Y) * a.i[0] + c;
    float scale = a.p[1] ? ((const float*)a.p[1])[c] : 1;
    float shift = a.p[2] ? ((const float*)a.p[2])[c] : 0;
    *x = scale * *x + shift;
}

// Turns pairs of columns half a group apart. p: x, cos, sin. Grid: (pairs / threads, rows).
KERNEL(turn_pairs) {
    BEGIN();
    int n = BLOCK_X * THREADS + THREAD;
    int columns = a.i[0], half = a.i[2] / 2;
    if (n >= columns / 2) return;
    int i = n / half * a.i[2] + n % half;
    int j = i + half;
    const float* cos = (const float*)a.p[1];
    const float* sin = (const float*)a.p[2];
    float* x = (float*)a.p[0] + (size_t)(a.i[1] + BLOCK_Y) * columns;
    float u = x[i], v = x[j];
    x[i] = cos[i] * u - sin[i] * v;
    x[j] = cos[j] * v + sin[j] * u;
}
