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

// Normalises a run of `group` columns, after adding to x what is to be added first. p: x, weight, bias, out, addend or null.
// i: layer norm, group, strides of x, out and addend. Grid: (groups, rows).
KERNEL(normalise) {
    SHARED float reduce[32];
    LET_NEXT_START();
    int layer = a.i[0], group = a.i[1];
    size_t column = (size_t)BLOCK_X * group;
    float* x = (float*)a.p[0] + (size_t)BLOCK_Y * a.i[2] + column;
    const float* weight = (const float*)a.p[1];
    const float* bias = (const float*)a.p[2];
    float* out = (float*)a.p[3] + (size_t)BLOCK_Y * a.i[3] + column;
    const float* addend = a.p[4] ? (const float*)a.p[4] + (size_t)BLOCK_Y * a.i[4] + column : 0;
    bool aligned = group % 4 == 0 && a.i[2] % 4 == 0 && a.i[3] % 4 == 0 && a.i[4] % 4 == 0;
    int first = THREAD * 4, step = THREADS * 4;
    WAIT_FOR_LAST();
    float sum = 0, squares = 0;
    for (int c = first; c < group; c += step) {
        float v[4];
        floats4(x + c, aligned, group - c, v);
        if (addend) {
            float y[4];
            floats4(addend + c, aligned, group - c, y);
            for (int i = 0; i < 4; i++) v[i] += y[i];
            store4(x + c, aligned, group - c, v);
        }
        for (int i = 0; i < 4; i++) {
            sum += v[i];
            squares = fmaf(v[i], v[i], squares);
        }
    }
    float mean = 0;
    if (layer) {
        mean = block_sum(sum, reduce) / group;
        squares = 0;
        for (int c = first; c < group; c += step) {
            float v[4];
            floats4(x + c, aligned, group - c, v);
            for (int i = 0; i < 4 && c + i < group; i++) squares = fmaf(v[i] - mean, v[i] - mean, squares);
        }
    }
    float scale = 1 / sqrtf(block_sum(squares, reduce) / group + a.f[0]);
    for (int c = first; c < group; c += step) {
        float v[4], w[4], b[4];
        floats4(x + c, aligned, group - c, v);
        if (weight) floats4(weight + c, aligned, group - c, w);
        if (bias) floats4(bias + c, aligned, group - c, b);
        for (int i = 0; i < 4; i++) {
            v[i] = (v[i] - mean) * scale;
            if (weight) v[i] *= w[i];
            if (bias) v[i] += b[i];
        }
        store4(out + c, aligned, group - c, v);
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

// out = f(gate) · up; the numbers of f are Activation's in Java. p: gate, up, out. Grid: (columns / 4 threads, rows).
KERNEL(activate) {
    BEGIN();
    int c = (BLOCK_X * THREADS + THREAD) * 4, n = a.i[1] - c;
    if (n <= 0) return;
    bool aligned = (a.i[2] | a.i[3] | a.i[4]) % 4 == 0;
    float y[4], up[4];
    floats4((const float*)a.p[0] + (size_t)BLOCK_Y * a.i[2] + c, aligned, n, y);
    if (a.p[1]) floats4((const float*)a.p[1] + (size_t)BLOCK_Y * a.i[3] + c, aligned, n, up);
    for (int i = 0; i < 4; i++) {
        y[i] = activation(a.i[0], y[i]);
        if (a.p[1]) y[i] *= up[i];
    }
    store4((float*)a.p[2] + (size_t)BLOCK_Y * a.i[4] + c, aligned, n, y);
}

// to[to row] = keep · to[to row] + factor · from[from row]. p: from, to, rows to take or null. Grid: (columns / 4 threads, rows).
KERNEL(rows) {
    BEGIN();
    int c = (BLOCK_X * THREADS + THREAD) * 4, n = a.i[0] - c;
    if (n <= 0) return;
    bool aligned = (a.i[3] | a.i[4]) % 4 == 0;
    int from = a.p[2] ? ((const int*)a.p[2])[BLOCK_Y] : a.i[1] + BLOCK_Y;
    float* to = (float*)a.p[1] + (size_t)(a.i[2] + BLOCK_Y) * a.i[4] + c;
    float x[4];
    floats4((const float*)a.p[0] + (size_t)from * a.i[3] + c, aligned, n, x);
    if (a.i[5]) {
        float y[4];
        floats4(to, aligned, n, y);
        for (int i = 0; i < 4; i++) x[i] = fmaf(a.f[0], x[i], y[i]);
    }
    store4(to, aligned, n, x);
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
