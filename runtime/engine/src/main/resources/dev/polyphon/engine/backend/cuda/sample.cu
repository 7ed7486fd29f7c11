// Chooses tokens. Weights are whole numbers, so that sums do not depend on the order in which threads add.
#include "common.cuh"

#define MOST_THREADS 512
#define ONE 1099511627776.0f

// As CudaKernels writes it in Java.
struct Draw {
    double uniform;
    float temperature, topP, minP;
    int topK, wanted, pad;
};

// In the order of floats.
DEVICE uint32_t order(float f) {
    uint32_t u = float_bits(f + 0.0f);
    return u >> 31 ? ~u : u | 0x80000000u;
}

DEVICE float in_order(uint32_t u) { return bits(u >> 31 ? u & 0x7fffffffu : ~u); }

// Of 2^40 for the greatest logit.
DEVICE uint64_t weight(float logit, float max, float scale) {
    return logit == max ? (uint64_t)ONE : (uint64_t)(power2((logit - max) * scale) * ONE);
}

// What is kept: all above `cut`, and the first `ties` of those that equal it.
struct Kept {
    uint32_t cut, ties;
};

// Of what is kept the greatest, until their number (or their weights' sum) reaches the target: radix selection, eight bits of the logits at a time.
DEVICE Kept greatest(const float* x, int n, Kept kept, bool weigh, uint64_t target, float max, float scale, uint64_t* bins) {
    uint32_t prefix = 0, mask = 0;
    uint64_t above = 0;
    for (int shift = 24; shift >= 0; shift -= 8) {
        SYNC();
        for (int b = THREAD; b < 256; b += THREADS) bins[b] = 0;
        SYNC();
        for (int i = THREAD; i < n; i += THREADS) {
            uint32_t key = order(x[i]);
            if (key > kept.cut && (key & mask) == prefix) add_to(bins + (key >> shift & 255), weigh ? weight(x[i], max, scale) : 1);
        }
        if (THREAD == 0 && (kept.cut & mask) == prefix) {
            add_to(bins + (kept.cut >> shift & 255), weigh ? kept.ties * weight(in_order(kept.cut), max, scale) : kept.ties);
        }
        SYNC();
        int chosen = -1;
        for (int b = 255; b >= 0; b--) {
            if (bins[b] == 0) continue;
            if (chosen >= 0) above += bins[chosen];
            chosen = b;
            if (above + bins[b] >= target) break;
        }
        prefix |= (uint32_t)(chosen < 0 ? 0 : chosen) << shift;
        mask |= 255u << shift;
    }
    uint64_t need = target > above ? target - above : 1;
    if (weigh) {
        uint64_t one = weight(in_order(prefix), max, scale);
        need = one == 0 ? 0xffffffffu : (need + one - 1) / one;
    }
    Kept result = {prefix, need > 0xffffffffu ? 0xffffffffu : (uint32_t)need};
    if (prefix == kept.cut && result.ties > kept.ties) result.ties = kept.ties;
    return result;
}

// p: logits, draws, tokens. i: vocabulary, columns. Grid: rows.
KERNEL(sample) {
    BEGIN();
    SHARED uint64_t bins[256];
    SHARED uint64_t sums[MOST_THREADS];
    SHARED uint32_t ids[MOST_THREADS];
    SHARED float reduce[32];
    Draw d = ((const Draw*)a.p[1])[BLOCK_X];
    int n = a.i[0];
    const float* x = (const float*)a.p[0] + (size_t)BLOCK_X * a.i[1];
    int* token = (int*)a.p[2] + BLOCK_X;
    if (!d.wanted) return;
    float best = bits(0xff800000u), bad = 0;
    int id = n;
    bool aligned = a.i[1] % 4 == 0;
#pragma unroll 4
    for (int i = THREAD * 4; i < n; i += THREADS * 4) {
        float v[4];
        floats4(x + i, aligned, n - i, v);
        for (int e = 0; e < 4 && i + e < n; e++) {
            if (!(v[e] < bits(0x7f800000u))) bad = 1;
            if (v[e] > best) {
                best = v[e];
                id = i + e;
            }
        }
    }
    float max = block_max(best, reduce);
    bad = block_max(bad, reduce);
    if (bad != 0 || max == bits(0xff800000u)) {
        if (THREAD == 0) *token = -1;
        return;
    }
    if (d.temperature == 0) {
        // The first of those that have it; ids are below 2^24, which f32 has exactly.
        float first = block_max(best == max ? -(float)id : -(float)n, reduce);
        if (THREAD == 0) *token = (int)-first;
        return;
    }
    float scale = 1.44269504f / d.temperature;
    Kept kept = {0, 0};
    if (d.topK > 0 && d.topK < n) kept = greatest(x, n, kept, false, d.topK, max, scale, bins);
    if (d.topP < 1) {
        uint64_t all = 0;
        for (int i = THREAD; i < n; i += THREADS) {
            if (order(x[i]) > kept.cut) all += weight(x[i], max, scale);
        }
        SYNC();
        sums[THREAD] = all;
        SYNC();
        all = kept.ties * weight(in_order(kept.cut), max, scale);
        for (int i = 0; i < (int)THREADS; i++) all += sums[i];
        kept = greatest(x, n, kept, true, (uint64_t)(d.topP * (double)all), max, scale, bins);
    }
    if (d.minP > 0) {
        uint32_t lowest = order(max + d.temperature * logf(d.minP));
        if (lowest > kept.cut) {
            kept.cut = lowest;
            kept.ties = 0xffffffffu;
        }
    }
    // Each thread has a run of neighbouring ids: first how many ties are before it, then the weights.
    int run = (n + THREADS - 1) / THREADS, from = run * THREAD, to = from + run < n ? from + run : n;
    uint32_t ties = 0;
    for (int i = from; i < to; i++) ties += order(x[i]) == kept.cut;
    SYNC();
    ids[THREAD] = ties;
    SYNC();
    ties = 0;
    for (int i = 0; i < (int)THREAD; i++) ties += ids[i];
    uint64_t sum = 0;
    uint32_t seen = ties;
    for (int i = from; i < to; i++) {
        uint32_t key = order(x[i]);
        if (key > kept.cut || key == kept.cut && seen++ < kept.ties) sum += weight(x[i], max, scale);
    }
    sums[THREAD] = sum;
    SYNC();
    uint64_t before = 0, all = 0;
    for (int i = 0; i < (int)THREADS; i++) {
        if (i < (int)THREAD) before += sums[i];
        all += sums[i];
    }
    uint64_t left = (uint64_t)(d.uniform * (double)all);
    if (left >= all) left = all - 1;
    if (left < before || left >= before + sum) return;
    for (int i = from; i < to; i++) {
        uint32_t key = order(x[i]);
        if (key > kept.cut || key == kept.cut && ties++ < kept.ties) {
            before += weight(x[i], max, scale);
            if (left < before) {
                *token = i;
                return;
            }
        }
    }
}
