#include "common.cuh"

#define CHUNK 256
#define MOST_DIM 512

// x[row] rotated in place. p: x, table [position][cos pairs, sin pairs], positions. Grid: rows.
KERNEL(rotary) {
    BEGIN();
    const float* table = (const float*)a.p[1];
    int columns = a.i[0], dim = a.i[1], pairs = a.i[2], interleaved = a.i[3];
    const float* cos = table + (size_t)((const int*)a.p[2])[BLOCK_X] * 2 * pairs;
    float* x = (float*)a.p[0] + (size_t)BLOCK_X * columns;
    for (int n = THREAD; n < columns / dim * pairs; n += THREADS) {
        int i = n % pairs;
        float* first = x + n / pairs * dim + (interleaved ? 2 * i : i);
        float* second = first + (interleaved ? 1 : pairs);
        float u = *first, v = *second, c = cos[i], s = cos[pairs + i];
        *first = fmaf(u, c, -(v * s));
        *second = fmaf(v, c, u * s);
    }
}

// Keys and values of each row to its slot: keys as [head][position][column] of a block, in f32 values too, in bf16 values as [head][column][position], so that
// eight neighbours of what is summed over, columns of a key or positions of a value, are sixteen bytes in one place.
// p: keys, values, cached keys, cached values (of the layer), slots (place, position in the block). Grid: rows.
KERNEL(write_kv) {
    BEGIN();
    int kvHeads = a.i[0], dim = a.i[1], blockSize = a.i[2], rounded = a.i[3];
    int place = ((const int*)a.p[4])[2 * BLOCK_X], p = ((const int*)a.p[4])[2 * BLOCK_X + 1];
    const float* key = (const float*)a.p[0] + (size_t)BLOCK_X * a.i[4];
    const float* value = (const float*)a.p[1] + (size_t)BLOCK_X * a.i[5];
    for (int c = THREAD; c < kvHeads * dim; c += THREADS) {
        int head = c / dim, d = c % dim;
        if (rounded) {
            page<uint16_t>(a.p[2], place, head, blockSize, dim)[p * dim + d] = (uint16_t)bf16_pair(key[c], 0);
            page<uint16_t>(a.p[3], place, head, blockSize, dim)[d * blockSize + p] = (uint16_t)bf16_pair(value[c], 0);
        } else {
            page<float>(a.p[2], place, head, blockSize, dim)[p * dim + d] = key[c];
            page<float>(a.p[3], place, head, blockSize, dim)[p * dim + d] = value[c];
        }
    }
}

// Rotates a row's queries in place, and writes its rotated keys and its values to its slot: rotary and write_kv at once, a warp for each head.
// p: queries, keys, values, cached keys, cached values (of the layer), slots, table or null, positions. i: heads, KV heads, columns of a head, block size,
// rounded, strides of queries, keys and values, pairs, interleaved. Grid: (rows, (heads + 2 KV heads) / warps).
KERNEL(rotate_store) {
    LET_NEXT_START();
    int heads = a.i[0], kvHeads = a.i[1], dim = a.i[2], blockSize = a.i[3], rounded = a.i[4], pairs = a.i[8], interleaved = a.i[9];
    int head = BLOCK_Y * (THREADS / 32) + THREAD / 32, lane = THREAD % 32;
    if (head >= heads + 2 * kvHeads) return;
    int place = ((const int*)a.p[5])[2 * BLOCK_X], p = ((const int*)a.p[5])[2 * BLOCK_X + 1];
    const float* cos = a.p[6] ? (const float*)a.p[6] + (size_t)((const int*)a.p[7])[BLOCK_X] * 2 * pairs : 0;
    bool query = head < heads, key = !query && head < heads + kvHeads;
    int h = query ? head : key ? head - heads : head - heads - kvHeads;
    float* x = (float*)a.p[query ? 0 : key ? 1 : 2] + (size_t)BLOCK_X * a.i[query ? 5 : key ? 6 : 7] + h * dim;
    int turned = cos && (query || key) ? pairs : 0;
    WAIT_FOR_LAST();
    for (int n = lane; n < dim - turned; n += 32) {
        // A pair, or a column that stays as it is.
        int i = n < turned ? interleaved ? 2 * n : n : n + turned, j = interleaved ? i + 1 : i + pairs;
        bool pair = n < turned;
        float u = x[i], v = pair ? x[j] : 0;
        if (pair) {
            float c = cos[n], s = cos[pairs + n], first = u;
            u = fmaf(first, c, -(v * s));
            v = fmaf(v, c, first * s);
        }
        for (int e = 0; e < (pair ? 2 : 1); e++) {
            int d = e ? j : i;
            float y = e ? v : u;
            if (query) {
                if (pair) x[d] = y;
            } else if (rounded) {
                uint16_t* to = page<uint16_t>(a.p[key ? 3 : 4], place, h, blockSize, dim);
                to[key ? p * dim + d : d * blockSize + p] = (uint16_t)bf16_pair(y, 0);
            } else {
                page<float>(a.p[key ? 3 : 4], place, h, blockSize, dim)[p * dim + d] = y;
            }
        }
    }
}

DEVICE float cached(void* layer, int place, int head, int blockSize, int dim, int at, int rounded) {
    return rounded ? bits((uint32_t)page<uint16_t>(layer, place, head, blockSize, dim)[at] << 16) : page<float>(layer, place, head, blockSize, dim)[at];
}

// One head of one row over the pages of its sequence, in chunks that start at multiples of CHUNK positions, with the softmax kept up from chunk to chunk
// (online softmax, Milakov and Gimelshein 2018). p: queries, keys, values, rows' (position, start of block table), block tables, slopes, out.
// Grid: (heads, rows).
KERNEL(attention) {
    BEGIN();
    SHARED float q[MOST_DIM];
    SHARED float weights[CHUNK];
    SHARED float reduce[32];
    int heads = a.i[0], kvHeads = a.i[1], dim = a.i[2], blockSize = a.i[3], window = a.i[4], xStride = a.i[5], outStride = a.i[6];
    int rounded = a.i[7];
    float scale = a.f[0], cap = a.f[1];
    int head = BLOCK_X, row = BLOCK_Y;
    int position = ((const int*)a.p[3])[2 * row];
    const int* table = (const int*)a.p[4] + ((const int*)a.p[3])[2 * row + 1];
    int kvHead = head / (heads / kvHeads);
    float slope = a.p[5] ? ((const float*)a.p[5])[head] : 0;
    int seen = window && position >= window ? position - window + 1 : 0;
    for (int d = THREAD; d < dim; d += THREADS) q[d] = ((const float*)a.p[0])[(size_t)row * xStride + head * dim + d];
    SYNC();
    float max = bits(0xff800000u), total = 0;
    float sums[MOST_DIM / 128];
    for (int j = 0; j < MOST_DIM / 128; j++) sums[j] = 0;
    for (int chunk = seen / CHUNK * CHUNK; chunk <= position; chunk += CHUNK) {
        int end = position + 1 - chunk < CHUNK ? position + 1 - chunk : CHUNK;
        float most = bits(0xff800000u);
        for (int i = THREAD / 32; i < end; i += THREADS / 32) {
            int p = chunk + i;
            float score = bits(0xff800000u);
            if (p >= seen) {
                int place = table[p / blockSize], key = p % blockSize * dim;
                float sum = 0;
                for (int d = THREAD % 32; d < dim; d += 32) sum = fmaf(q[d], cached(a.p[1], place, kvHead, blockSize, dim, key + d, rounded), sum);
                score = warp_sum(sum) * scale;
                if (cap != 0) score = cap * tanhf(score / cap);
                score = fmaf(slope, (float)p, score);
            }
            if (THREAD % 32 == 0) weights[i] = score;
            most = fmaxf(most, score);
        }
        most = fmaxf(max, block_max(most, reduce));
        float keep = expf(max - most);
        float part = 0;
        for (int i = THREAD; i < end; i += THREADS) {
            float w = expf(weights[i] - most);
            weights[i] = w;
            part += w;
        }
        total = fmaf(total, keep, block_sum(part, reduce));
        for (int j = 0; j < MOST_DIM / 128; j++) {
            int d = THREAD + j * 128;
            if (d < dim) {
                float sum = sums[j] * keep;
                for (int i = chunk < seen ? seen - chunk : 0; i < end; i++) {
                    int p = chunk + i;
                    int at = rounded ? d * blockSize + p % blockSize : p % blockSize * dim + d;
                    sum = fmaf(weights[i], cached(a.p[2], table[p / blockSize], kvHead, blockSize, dim, at, rounded), sum);
                }
                sums[j] = sum;
            }
        }
        max = most;
        SYNC();
    }
    for (int j = 0; j < MOST_DIM / 128; j++) {
        int d = THREAD + j * 128;
        if (d < dim) ((float*)a.p[6])[(size_t)row * outStride + head * dim + d] = sums[j] / total;
    }
}
