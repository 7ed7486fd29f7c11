// Shared by all kernels. Compiled by NVRTC without any header of the toolkit, and by a C++ compiler for the emulated device of the tests, which brings
// its own versions of what it defines here.
#ifndef EMULATED
typedef unsigned char uint8_t;
typedef signed char int8_t;
typedef unsigned short uint16_t;
typedef unsigned int uint32_t;
#define KERNEL(name) extern "C" __global__ void name(const Args a)
#define BLOCK_X blockIdx.x
#define BLOCK_Y blockIdx.y
#define THREAD threadIdx.x
#define THREADS blockDim.x
#define SYNC() __syncthreads()
#define SHARED __shared__
#define DEVICE static __device__ __forceinline__
DEVICE float exchange(float v, int mask) { return __shfl_xor_sync(0xffffffffu, v, mask); }
DEVICE float bits(uint32_t u) { return __uint_as_float(u); }
DEVICE float half_bits(uint16_t h) { float f; asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(h)); return f; }
#endif

// What every kernel is given: addresses, counts and factors, named at its head.
struct Args {
    void* p[10];
    int i[16];
    float f[8];
};

// The numbers of the types are those of WeightType in Java.
enum { F32 = 0, F16 = 1, BF16 = 2, Q8_0 = 3, Q4_0 = 4, Q4_1 = 5, Q4_K = 6, Q5_K = 7, Q6_K = 8 };

DEVICE uint16_t u16(const uint8_t* p) { return (uint16_t)(p[0] | p[1] << 8); }

DEVICE void k_scale(const uint8_t* s, int g, int* scale, int* min) {
    if (g < 4) {
        *scale = s[g] & 63;
        *min = s[g + 4] & 63;
    } else {
        *scale = (s[g + 4] & 15) | (s[g - 4] >> 6) << 4;
        *min = s[g + 4] >> 4 | (s[g] >> 6) << 4;
    }
}

// Eight weights of a row from column k on, k a multiple of 8: they share a block and a scale in every quantised type.
DEVICE void decode8(int type, const uint8_t* row, int k, float* w) {
    switch (type) {
        case F32: {
            const float* p = (const float*)row + k;
            for (int i = 0; i < 8; i++) w[i] = p[i];
            return;
        }
        case F16: {
            const uint16_t* p = (const uint16_t*)row + k;
            for (int i = 0; i < 8; i++) w[i] = half_bits(p[i]);
            return;
        }
        case BF16: {
            const uint16_t* p = (const uint16_t*)row + k;
            if (((size_t)p & 15) == 0) {
                const uint32_t* q = (const uint32_t*)p;
                uint32_t v[4] = {q[0], q[1], q[2], q[3]};
                for (int i = 0; i < 4; i++) {
                    w[2 * i] = bits(v[i] << 16);
                    w[2 * i + 1] = bits(v[i] & 0xffff0000u);
                }
            } else {
                for (int i = 0; i < 8; i++) w[i] = bits((uint32_t)p[i] << 16);
            }
            return;
        }
        case Q8_0: {
            const uint8_t* b = row + k / 32 * 34;
            float d = half_bits(u16(b));
            for (int i = 0; i < 8; i++) w[i] = (int8_t)b[2 + k % 32 + i] * d;
            return;
        }
        case Q4_0:
        case Q4_1: {
            int size = type == Q4_0 ? 18 : 20;
            const uint8_t* b = row + k / 32 * size;
            float d = half_bits(u16(b));
            float m = type == Q4_0 ? -8 * d : half_bits(u16(b + 2));
            int at = k % 32;
            int shift = at < 16 ? 0 : 4;
            const uint8_t* q = b + size - 16 + at % 16;
            for (int i = 0; i < 8; i++) w[i] = (q[i] >> shift & 15) * d + m;
            return;
        }
        case Q4_K:
        case Q5_K: {
            const uint8_t* b = row + k / 256 * (type == Q4_K ? 144 : 176);
            int at = k % 256;
            int group = at / 32;
            int scale, min;
            k_scale(b + 4, group, &scale, &min);
            float d = half_bits(u16(b)) * scale;
            float m = half_bits(u16(b + 2)) * min;
            const uint8_t* low = b + (type == Q4_K ? 16 : 48) + group / 2 * 32 + at % 32;
            const uint8_t* high = b + 16 + at % 32;
            for (int i = 0; i < 8; i++) {
                int q = low[i] >> group % 2 * 4 & 15;
                if (type == Q5_K) q |= (high[i] >> group & 1) << 4;
                w[i] = d * q - m;
            }
            return;
        }
        case Q6_K: {
            const uint8_t* b = row + k / 256 * 210;
            int at = k % 256;
            int half = at / 128;
            int quarter = at % 128 / 32;
            int l = at % 32;
            float d = half_bits(u16(b + 208)) * (int8_t)b[192 + at / 16];
            const uint8_t* low = b + half * 64 + quarter % 2 * 32 + l;
            const uint8_t* high = b + 128 + half * 32 + l;
            for (int i = 0; i < 8; i++) {
                int q = (low[i] >> quarter / 2 * 4 & 15) | (high[i] >> quarter * 2 & 3) << 4;
                w[i] = d * (q - 32);
            }
            return;
        }
    }
}

// One to eight weights at the end of a row of a plain type; what is past the end is 0.
DEVICE void decode_end(int type, const uint8_t* row, int k, int in, float* w) {
    for (int i = 0; i < 8; i++) {
        w[i] = 0;
        if (k + i < in) {
            if (type == F32) w[i] = ((const float*)row)[k + i];
            else if (type == F16) w[i] = half_bits(((const uint16_t*)row)[k + i]);
            else w[i] = bits((uint32_t)((const uint16_t*)row)[k + i] << 16);
        }
    }
}

DEVICE void decode(int type, const uint8_t* row, int k, int in, float* w) {
    if (k + 8 <= in) decode8(type, row, k, w);
    else decode_end(type, row, k, in, w);
}

DEVICE float warp_sum(float v) {
    for (int mask = 16; mask > 0; mask /= 2) v += exchange(v, mask);
    return v;
}

DEVICE float warp_max(float v) {
    for (int mask = 16; mask > 0; mask /= 2) v = fmaxf(v, exchange(v, mask));
    return v;
}

// The sum over a block, for all its threads, by way of one float of each warp.
DEVICE float block_sum(float v, float* shared) {
    v = warp_sum(v);
    SYNC();
    if (THREAD % 32 == 0) shared[THREAD / 32] = v;
    SYNC();
    float sum = 0;
    for (int i = 0; i < (int)THREADS / 32; i++) sum += shared[i];
    return sum;
}

DEVICE float block_max(float v, float* shared) {
    v = warp_max(v);
    SYNC();
    if (THREAD % 32 == 0) shared[THREAD / 32] = v;
    SYNC();
    float max = shared[0];
    for (int i = 1; i < (int)THREADS / 32; i++) max = fmaxf(max, shared[i]);
    return max;
}
