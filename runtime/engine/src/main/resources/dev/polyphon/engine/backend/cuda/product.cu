// Linear layers on the tensor cores, for activations that may be rounded: to bf16 for weights of bf16, to tf32 for all others.
//
// A warp has 16 or 32 outputs and up to 64 rows. Lane (g, t) = (lane / 4, lane % 4) holds eight consecutive columns from k + 8 t on, both of weight rows
// g and g + 8 and of activation row g: the order of columns inside a fragment is free, as long as both operands have the same, so that fragments are
// loaded sixteen bytes at a time from where they are.
//
// A sum is taken over eight slices of the columns by themselves, in order, which are then added in order, whatever kernel does it: rows have the same bits
// in a batch of one and of thousands.
#include "common.cuh"

#define SLICES 8
// Of shared memory that product_bf16 is launched with: what a block may have on every architecture from sm_80 on, and room for two on the larger ones.
#define AT_LAUNCH_BYTES 98304

// As ProjectionTable writes it in Java.
struct Projection {
    const uint8_t* w;
    const float* bias;
    float* out;
    int outs, rowBytes, outStride, firstBlock;
};

// Columns of a slice.
DEVICE int slice(int in) { return (in + 32 * SLICES - 1) / (32 * SLICES) * 32; }

DEVICE const Projection* projection_of(const Args& a, int block) {
    const Projection* p = (const Projection*)a.p[0];
    int i = 0;
    while (i + 1 < a.i[0] && block >= p[i + 1].firstBlock) i++;
    return p + i;
}

// Eight activations from column k on, as many as there are.
DEVICE void activations(const float* x, int k, int in, bool aligned, float* v) {
    if (aligned && k + 8 <= in) {
        uint4 a = *(const uint4*)(x + k);
        uint4 b = *(const uint4*)(x + k + 4);
        v[0] = bits(a.x); v[1] = bits(a.y); v[2] = bits(a.z); v[3] = bits(a.w);
        v[4] = bits(b.x); v[5] = bits(b.y); v[6] = bits(b.z); v[7] = bits(b.w);
    } else {
        for (int i = 0; i < 8; i++) v[i] = k + i < in ? x[k + i] : 0;
    }
}

DEVICE uint4 rounded8(const float* v) {
    uint4 r;
    r.x = bf16_pair(v[0], v[1]);
    r.y = bf16_pair(v[2], v[3]);
    r.z = bf16_pair(v[4], v[5]);
    r.w = bf16_pair(v[6], v[7]);
    return r;
}

// Eight weights of bf16; zeros for a row or columns that are not there.
DEVICE uint4 weights8(const uint8_t* row, int k, int in, bool there) {
    uint4 r = {0, 0, 0, 0};
    if (!there || k >= in) return r;
    float v[8];
    decode(BF16, row, k, in, v);
    return rounded8(v);
}

#if defined(EMULATED) || TYPE_NUMBER == 2
// Rounds rows to bf16, padded with zeros to a multiple of 32 columns. p: x, out. Grid: (padded columns / 8 / threads, rows).
KERNEL(round_rows) {
    BEGIN();
    int in = a.i[0], padded = a.i[2];
    int k = (BLOCK_X * THREADS + THREAD) * 8;
    if (k >= padded) return;
    float v[8];
    activations((const float*)a.p[0] + (size_t)BLOCK_Y * a.i[1], k, in, a.i[1] % 4 == 0, v);
    *(uint4*)((uint16_t*)a.p[1] + (size_t)BLOCK_Y * padded + k) = rounded8(v);
}
#endif

// The same for weights of bf16. A block goes over every GRID_X-th tile of outputs; its lanes copy the pieces of 16 bytes that they will need themselves to
// shared memory, STAGES times 32 columns ahead and on into the next tile, so that weights come without a pause and no thread waits for another's.
// p, i: product's, i6: tiles. Grid: (blocks, row tiles).
template <int MT, int NT>
DEVICE void product_bf16(const Args& a) {
    const int TILE = MT * 16 * 8, STAGE = SLICES * 2 * MT * 32, STAGES = (AT_LAUNCH_BYTES - SLICES * TILE * 4) / (STAGE * 16);
    SHARED_AT_LAUNCH(uint4, ring);
    LET_NEXT_START();
    int in = a.i[1], first = a.i[2], rows = a.i[3], xStride = a.i[4], padded = a.i[5], tiles = a.i[6];
    int lane = THREAD % 32, g = lane / 4, t = lane % 4, warp = THREAD / 32;
    int start = BLOCK_Y * 8 * NT;
    bool xAligned = xStride % 4 == 0, wAligned = in % 8 == 0;
    int span = slice(in), begin = warp * span + 8 * t;
    int end = (warp + 1) * span < in ? (warp + 1) * span : in;
    int steps = end > warp * span ? (end - warp * span + 31) / 32 : 0;
    uint4* mine = ring + warp * 2 * MT * 32 + lane;
    // What is copied next: where the lane's rows of weights stand, null for those that are not there.
    const uint8_t* w[MT][2];
    int nextTile = steps > 0 ? (int)BLOCK_X : tiles, nextStep = 0;
    auto locate = [&]() {
        if (nextTile >= tiles) return;
        const Projection* p = projection_of(a, nextTile);
#pragma unroll
        for (int m = 0; m < MT; m++) {
#pragma unroll
            for (int h = 0; h < 2; h++) {
                int o = (nextTile - p->firstBlock) * 16 * MT + m * 16 + h * 8 + g;
                w[m][h] = o < p->outs ? p->w + (size_t)o * p->rowBytes : 0;
            }
        }
    };
    auto fetch = [&](int stage) {
        if (nextTile < tiles) {
            int k = begin + 32 * nextStep;
            uint4* to = mine + stage * STAGE;
#pragma unroll
            for (int m = 0; m < MT; m++) {
#pragma unroll
                for (int h = 0; h < 2; h++) {
                    bool there = w[m][h] && k < end;
                    if (wAligned) copy16(to + (2 * m + h) * 32, there ? w[m][h] + 2 * (size_t)k : (const uint8_t*)a.p[0], there);
                    else to[(2 * m + h) * 32] = weights8(w[m][h], k, end, there);
                }
            }
            if (++nextStep == steps) {
                nextStep = 0;
                nextTile += GRID_X;
                locate();
            }
        }
        copies_end();
    };
    locate();
#pragma unroll
    for (int s = 0; s < STAGES - 1; s++) fetch(s);
    WAIT_FOR_LAST();
    float* parts = (float*)(ring + STAGES * STAGE);
    // Rows: of one tile AHEAD steps before they are needed, the same ones for every tile of outputs; more of them when they are needed.
    const int AHEAD = NT == 1 ? 3 : 0;
    uint4 x[AHEAD + 1][2];
    int nextInput = 0;
    auto ahead = [&](uint4* to) {
        int k = begin + 32 * nextInput, r = start + g;
        uint4 none = {0, 0, 0, 0};
        to[0] = none;
        to[1] = none;
        if (r < rows && k < end) activations((const float*)a.p[1] + (size_t)r * xStride, k, end, xAligned, (float*)to);
        if (++nextInput >= steps) nextInput = 0;
    };
#pragma unroll
    for (int e = 0; e < AHEAD; e++) ahead(x[e]);
    int slices = (in + span - 1) / span, stage = 0;
    for (int tile = BLOCK_X; tile < tiles; tile += GRID_X) {
        float sums[MT][NT][4];
#pragma unroll
        for (int m = 0; m < MT; m++)
#pragma unroll
            for (int n = 0; n < NT; n++)
#pragma unroll
                for (int i = 0; i < 4; i++) sums[m][n][i] = 0;
        for (int s = 0; s < steps; s++) {
            uint4 b[NT];
            if (NT == 1) {
                b[0] = rounded8((const float*)x[0]);
#pragma unroll
                for (int e = 0; e < AHEAD - 1; e++) {
                    x[e][0] = x[e + 1][0];
                    x[e][1] = x[e + 1][1];
                }
                ahead(x[AHEAD > 0 ? AHEAD - 1 : 0]);
            } else {
                int k = begin + 32 * s;
#pragma unroll
                for (int n = 0; n < NT; n++) {
                    int r = start + n * 8 + g;
                    uint4 none = {0, 0, 0, 0};
                    b[n] = r < rows && k < end ? *(const uint4*)((const uint16_t*)a.p[2] + (size_t)r * padded + k) : none;
                }
            }
            copies_wait<STAGES - 2>();
            uint4 u[MT][2];
            const uint4* from = mine + stage * STAGE;
#pragma unroll
            for (int m = 0; m < MT; m++) {
                u[m][0] = from[2 * m * 32];
                u[m][1] = from[(2 * m + 1) * 32];
            }
            fetch(stage == 0 ? STAGES - 1 : stage - 1);
            stage = stage == STAGES - 1 ? 0 : stage + 1;
#pragma unroll
            for (int n = 0; n < NT; n++) {
#pragma unroll
                for (int m = 0; m < MT; m++) {
                    mma_bf16(sums[m][n], u[m][0].x, u[m][1].x, u[m][0].y, u[m][1].y, b[n].x, b[n].y);
                    mma_bf16(sums[m][n], u[m][0].z, u[m][1].z, u[m][0].w, u[m][1].w, b[n].z, b[n].w);
                }
            }
        }
        const Projection* p = projection_of(a, tile);
        int o = (tile - p->firstBlock) * 16 * MT;
#pragma unroll
        for (int n = 0; n < NT; n++) {
            SYNC();
#pragma unroll
            for (int m = 0; m < MT; m++)
#pragma unroll
                for (int i = 0; i < 4; i++) parts[warp * TILE + (2 * t + i % 2) * 16 * MT + m * 16 + i / 2 * 8 + g] = sums[m][n][i];
            SYNC();
            for (int i = THREAD; i < TILE; i += THREADS) {
                int out = o + i % (16 * MT), r = start + n * 8 + i / (16 * MT);
                if (out < p->outs && r < rows) {
                    float sum = 0;
                    for (int j = 0; j < slices; j++) sum += parts[j * TILE + i];
                    p->out[(size_t)(first + r) * p->outStride + out] = sum + (p->bias ? p->bias[out] : 0);
                }
            }
        }
    }
    copies_wait<0>();
}

// out[r][o] = w[o] · x[r] + bias[o]. A block has 16 MT outputs and 8 NT rows, its warps a slice each.
// p: projections, x from the first row on, the same as round_rows has it or null. Grid: (blocks of all projections, row tiles).
template <int TYPE, int MT, int NT>
DEVICE void product(const Args& a) {
    BEGIN();
    SHARED float parts[SLICES][MT * 16 * 8];
    const Projection* p = projection_of(a, BLOCK_X);
    int in = a.i[1], first = a.i[2], rows = a.i[3], xStride = a.i[4], padded = a.i[5];
    int lane = THREAD % 32, g = lane / 4, t = lane % 4, warp = THREAD / 32;
    int o = (BLOCK_X - p->firstBlock) * 16 * MT, start = BLOCK_Y * 8 * NT;
    bool xAligned = xStride % 4 == 0;
    int span = slice(in);
    int end = (warp + 1) * span < in ? (warp + 1) * span : in;
    const uint8_t* w[MT][2];
    bool there[MT][2];
    for (int m = 0; m < MT; m++) {
        for (int h = 0; h < 2; h++) {
            there[m][h] = o + m * 16 + h * 8 + g < p->outs;
            w[m][h] = p->w + (size_t)(there[m][h] ? o + m * 16 + h * 8 + g : 0) * p->rowBytes;
        }
    }
    float sums[MT][NT][4];
    for (int m = 0; m < MT; m++)
        for (int n = 0; n < NT; n++)
            for (int i = 0; i < 4; i++) sums[m][n][i] = 0;
    for (int k = warp * span + 8 * t; k - 8 * t < end; k += 32) {
        uint32_t v[MT][2][8];
        for (int m = 0; m < MT; m++) {
            for (int h = 0; h < 2; h++) {
                float f[8];
                for (int i = 0; i < 8; i++) f[i] = 0;
                if (there[m][h] && k < end) decode(TYPE, w[m][h], k, in, f);
                for (int i = 0; i < 8; i++) v[m][h][i] = tf32(f[i]);
            }
        }
        for (int n = 0; n < NT; n++) {
            int r = start + n * 8 + g;
            float x[8];
            for (int i = 0; i < 8; i++) x[i] = 0;
            if (r < rows && k < end) activations((const float*)a.p[1] + (size_t)r * xStride, k, end, xAligned, x);
            for (int i = 0; i < 8; i += 2) {
                uint32_t b0 = tf32(x[i]), b1 = tf32(x[i + 1]);
                for (int m = 0; m < MT; m++) mma_tf32(sums[m][n], v[m][0][i], v[m][1][i], v[m][0][i + 1], v[m][1][i + 1], b0, b1);
            }
        }
    }
    int slices = (in + span - 1) / span;
#pragma unroll
    for (int n = 0; n < NT; n++) {
#pragma unroll
        for (int m = 0; m < MT; m++) {
#pragma unroll
            for (int i = 0; i < 4; i++) parts[warp][(2 * t + i % 2) * 16 * MT + m * 16 + i / 2 * 8 + g] = sums[m][n][i];
        }
        SYNC();
        for (int i = THREAD; i < 16 * MT * 8; i += THREADS) {
            int out = o + i % (16 * MT), r = start + n * 8 + i / (16 * MT);
            if (out < p->outs && r < rows) {
                float sum = 0;
                for (int s = 0; s < slices; s++) sum += parts[s][i];
                p->out[(size_t)(first + r) * p->outStride + out] = sum + (p->bias ? p->bias[out] : 0);
            }
        }
        SYNC();
    }
}

#if defined(EMULATED) || TYPE_NUMBER == 2
KERNEL_OF(product_2_8, 256, 2) { product_bf16<1, 1>(a); }
KERNEL_OF(product_2_32, 256, 2) { product_bf16<2, 4>(a); }
KERNEL(product_2_64) { product_bf16<2, 8>(a); }
#endif

#define PRODUCT(type, number) \
    KERNEL(product_##number##_8) { product<type, 1, 1>(a); } \
    KERNEL(product_##number##_32) { product<type, 2, 4>(a); } \
    KERNEL(product_##number##_64) { product<type, 2, 8>(a); }

// Of the types all on the emulated device, and here the one asked for.
#if defined(EMULATED) || TYPE_NUMBER == 0
PRODUCT(F32, 0)
#endif
#if defined(EMULATED) || TYPE_NUMBER == 1
PRODUCT(F16, 1)
#endif
#if defined(EMULATED) || TYPE_NUMBER == 3
PRODUCT(Q8_0, 3)
#endif
#if defined(EMULATED) || TYPE_NUMBER == 4
PRODUCT(Q4_0, 4)
#endif
#if defined(EMULATED) || TYPE_NUMBER == 5
PRODUCT(Q4_1, 5)
#endif
#if defined(EMULATED) || TYPE_NUMBER == 6
PRODUCT(Q4_K, 6)
#endif
#if defined(EMULATED) || TYPE_NUMBER == 7
PRODUCT(Q5_K, 7)
#endif
#if defined(EMULATED) || TYPE_NUMBER == 8
PRODUCT(Q6_K, 8)
#endif

#if defined(EMULATED) || TYPE_NUMBER == 2
#define WIDE 128
#define STAGES 3

// The same for many rows and weights of bf16 with a multiple of 8 columns: a block has 128 outputs and 128 rows and walks all slices, both operands by way of
// shared memory, three tiles of 32 columns under way, and the sums of the slices so far beside them: registers are for one slice, so that two blocks fit.
// p: product's. Grid: (row tiles, blocks of all projections), so that blocks that run at once share weights. 16 STAGES + 64 KiB of shared memory.
KERNEL_OF(product_wide, 256, 2) {
    SHARED_AT_LAUNCH(uint4, tiles);
    float(*totals)[256] = (float(*)[256])(tiles + STAGES * 2 * WIDE * 4);
    LET_NEXT_START();
    const Projection* p = projection_of(a, BLOCK_Y);
    int in = a.i[1], first = a.i[2], rows = a.i[3], padded = a.i[5];
    int lane = THREAD % 32, g = lane / 4, t = lane % 4, warp = THREAD / 32;
    int o = (BLOCK_Y - p->firstBlock) * WIDE, start = BLOCK_X * WIDE;
    int wm = warp / 4 * 64, wn = warp % 4 * 32;
    int steps = (in + 31) / 32, perSlice = slice(in) / 32;
    float sums[4][4][4];
#pragma unroll
    for (int i = 0; i < 64; i++) totals[i][THREAD] = sums[i / 16][i / 4 % 4][i % 4] = 0;
    // Each thread copies the same pieces of two lines of either operand, step after step.
    const uint8_t* w[2];
    const uint8_t* x[2];
    int column = THREAD % 4 * 8;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        int line = THREAD / 4 + 64 * h;
        w[h] = o + line < p->outs ? p->w + (size_t)(o + line) * p->rowBytes + 2 * column : 0;
        x[h] = start + line < rows ? (const uint8_t*)a.p[2] + 2 * ((size_t)(start + line) * padded + column) : 0;
    }
    auto weights = [&](int step, int stage) {
        if (step >= steps) return;
        uint4* to = tiles + stage * 2 * WIDE * 4 + THREAD;
        bool inside = step * 32 + column < in;
#pragma unroll
        for (int h = 0; h < 2; h++) copy16(to + 256 * h, w[h] && inside ? w[h] + 64 * (size_t)step : (const uint8_t*)a.p[0], w[h] && inside);
    };
    auto inputs = [&](int step, int stage) {
        if (step >= steps) return;
        uint4* to = tiles + (stage * 2 + 1) * WIDE * 4 + THREAD;
#pragma unroll
        for (int h = 0; h < 2; h++) copy16(to + 256 * h, x[h] ? x[h] + 64 * (size_t)step : (const uint8_t*)a.p[0], x[h] != 0);
    };
    for (int s = 0; s < STAGES - 1; s++) weights(s, s);
    WAIT_FOR_LAST();
    for (int s = 0; s < STAGES - 1; s++) {
        inputs(s, s);
        copies_end();
    }
    int left = perSlice;
    for (int s = 0, stage = 0; s < steps; s++) {
        copies_wait<STAGES - 2>();
        SYNC();
        int ahead = stage == 0 ? STAGES - 1 : stage - 1;
        weights(s + STAGES - 1, ahead);
        inputs(s + STAGES - 1, ahead);
        copies_end();
        const uint4* u = tiles + stage * 2 * WIDE * 4;
        const uint4* v = u + WIDE * 4;
        uint4 b[4];
#pragma unroll
        for (int n = 0; n < 4; n++) b[n] = v[(wn + n * 8 + g) * 4 + t];
#pragma unroll
        for (int m = 0; m < 4; m++) {
            uint4 u0 = u[(wm + m * 16 + g) * 4 + t], u1 = u[(wm + m * 16 + 8 + g) * 4 + t];
#pragma unroll
            for (int n = 0; n < 4; n++) mma_bf16(sums[m][n], u0.x, u1.x, u0.y, u1.y, b[n].x, b[n].y);
#pragma unroll
            for (int n = 0; n < 4; n++) mma_bf16(sums[m][n], u0.z, u1.z, u0.w, u1.w, b[n].z, b[n].w);
        }
        if (--left == 0 || s + 1 == steps) {
            left = perSlice;
#pragma unroll
            for (int i = 0; i < 64; i++) {
                totals[i][THREAD] += sums[i / 16][i / 4 % 4][i % 4];
                sums[i / 16][i / 4 % 4][i % 4] = 0;
            }
        }
        stage = stage == STAGES - 1 ? 0 : stage + 1;
    }
#pragma unroll
    for (int m = 0; m < 4; m++) {
#pragma unroll
        for (int n = 0; n < 4; n++) {
#pragma unroll
            for (int i = 0; i < 4; i++) {
                int out = o + wm + m * 16 + i / 2 * 8 + g, r = start + wn + n * 8 + 2 * t + i % 2;
                if (out < p->outs && r < rows) {
                    p->out[(size_t)(first + r) * p->outStride + out] = totals[m * 16 + n * 4 + i][THREAD] + (p->bias ? p->bias[out] : 0);
                }
            }
        }
    }
}
#endif
