// Shared by all kernels. Compiled by NVRTC without any header of the toolkit, and by a C++ compiler for the emulated device of the tests, which brings
// its own versions of what it defines here.
#ifndef EMULATED
typedef unsigned char uint8_t;
typedef signed char int8_t;
typedef unsigned short uint16_t;
typedef unsigned int uint32_t;
typedef unsigned long long uint64_t;
#define KERNEL(name) extern "C" __global__ void name(const Args a)
// With at most so many threads a block, so many blocks of which a multiprocessor has registers for.
#define KERNEL_OF(name, threads, blocks) extern "C" __global__ void __launch_bounds__(threads, blocks) name(const Args a)
#define BLOCK_X blockIdx.x
#define BLOCK_Y blockIdx.y
#define GRID_X gridDim.x
#define THREAD threadIdx.x
#define THREADS blockDim.x
#define SYNC() __syncthreads()
#define SHARED __shared__
// The shared memory that a block is given when it is launched.
#define SHARED_AT_LAUNCH(T, name) extern __shared__ __align__(1024) unsigned char at_launch[]; T* name = (T*)at_launch
#define DEVICE static __device__ __forceinline__
DEVICE float exchange(float v, int mask) { return __shfl_xor_sync(0xffffffffu, v, mask); }
DEVICE float bits(uint32_t u) { return __uint_as_float(u); }
DEVICE float half_bits(uint16_t h) { float f; asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(h)); return f; }
DEVICE uint32_t float_bits(float f) { return __float_as_uint(f); }
// 2^x; -infinity gives 0.
DEVICE float power2(float x) { float y; asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x)); return y; }
// Two floats rounded to bf16, the first in the low half.
DEVICE uint32_t bf16_pair(float low, float high) { uint32_t r; asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low)); return r; }
DEVICE uint32_t tf32(float f) { uint32_t r; asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(r) : "f"(f)); return r; }
// Has a line of memory brought nearer while the thread goes on.
DEVICE void soon(const void* p) { asm volatile("prefetch.global.L2 [%0];" :: "l"(p)); }
// c += a b on the tensor cores: fragments m16n8k16 and m16n8k8 of the PTX manual, a row-major, b column-major.
DEVICE void mma_bf16(float* c, uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint32_t b0, uint32_t b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}
DEVICE void mma_tf32(float* c, uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint32_t b0, uint32_t b1) {
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}
// Sixteen bytes to shared memory while the thread goes on, zeros where there are none.
DEVICE void copy16(void* shared, const void* global, bool there) {
    uint32_t to;
    asm("{ .reg .u64 a; cvta.to.shared.u64 a, %1; cvt.u32.u64 %0, a; }" : "=r"(to) : "l"(shared));
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" :: "r"(to), "l"(global), "r"(there ? 16 : 0) : "memory");
}
DEVICE void copies_end() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits for all but the last `left` groups of copies.
template <int left> DEVICE void copies_wait() { asm volatile("cp.async.wait_group %0;" :: "n"(left) : "memory"); }
DEVICE void add_to(unsigned long long* p, unsigned long long v) { atomicAdd(p, v); }
// What the thread has written can be seen by whoever sees what it writes next.
DEVICE void seen_by_all() { __threadfence(); }
// What another block has written: not from the first cache.
DEVICE float fresh(const float* p) { float f; asm volatile("ld.global.cg.f32 %0, [%1];" : "=f"(f) : "l"(p)); return f; }
// How often it was called before.
DEVICE uint32_t take_number(uint32_t* counter) { return atomicAdd(counter, 1u); }
// A kernel may start while the one before it still runs (programmatic dependent launch, CUDA C++ Programming Guide, from Hopper on): LET_NEXT_START lets
// the next one do so, WAIT_FOR_LAST waits until all that came before has run and can be read. Before it a kernel reads weights and its own arguments
// and tables alone, and writes nothing.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
#define LET_NEXT_START() asm volatile("griddepcontrol.launch_dependents;" ::: "memory")
#define WAIT_FOR_LAST() asm volatile("griddepcontrol.wait;" ::: "memory")
#else
#define LET_NEXT_START()
#define WAIT_FOR_LAST()
#endif
DEVICE void add_to(uint32_t* p, uint32_t v) { atomicAdd(p, v); }
#endif

// How a kernel begins that needs what came before from its start.
#define BEGIN() \
    LET_NEXT_START(); \
    WAIT_FOR_LAST()

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

// Eight bytes at an even address.
DEVICE void bytes8(const uint8_t* p, uint32_t* q) {
    const uint16_t* h = (const uint16_t*)p;
    q[0] = h[0] | (uint32_t)h[1] << 16;
    q[1] = h[2] | (uint32_t)h[3] << 16;
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
            uint32_t q[2];
            bytes8(b + 2 + k % 32, q);
            for (int i = 0; i < 8; i++) w[i] = (int8_t)(q[i / 4] >> i % 4 * 8) * d;
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
            uint32_t q[2];
            bytes8(b + size - 16 + at % 16, q);
            for (int i = 0; i < 8; i++) w[i] = (q[i / 4] >> i % 4 * 8 + shift & 15) * d + m;
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
            uint32_t low[2], high[2] = {0, 0};
            bytes8(b + (type == Q4_K ? 16 : 48) + group / 2 * 32 + at % 32, low);
            if (type == Q5_K) bytes8(b + 16 + at % 32, high);
            for (int i = 0; i < 8; i++) {
                int q = low[i / 4] >> i % 4 * 8 + group % 2 * 4 & 15;
                if (type == Q5_K) q |= (high[i / 4] >> i % 4 * 8 + group & 1) << 4;
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
            uint32_t low[2], high[2];
            bytes8(b + half * 64 + quarter % 2 * 32 + l, low);
            bytes8(b + 128 + half * 32 + l, high);
            for (int i = 0; i < 8; i++) {
                int q = (low[i / 4] >> i % 4 * 8 + quarter / 2 * 4 & 15) | (high[i / 4] >> i % 4 * 8 + quarter * 2 & 3) << 4;
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

// The keys or values of a head in a block of the KV cache, by the block's place in the arena.
template <typename T> DEVICE T* page(void* layer, int place, int head, int blockSize, int dim) {
    return (T*)((uint8_t*)layer + (size_t)place * 256) + (size_t)head * blockSize * dim;
}

// Four floats at an address that is a multiple of 16, or whatever n of them there are.
DEVICE void floats4(const float* p, bool aligned, int n, float* v) {
    if (aligned && n >= 4) {
        uint4 u = *(const uint4*)p;
        v[0] = bits(u.x); v[1] = bits(u.y); v[2] = bits(u.z); v[3] = bits(u.w);
    } else {
        for (int i = 0; i < 4; i++) v[i] = i < n ? p[i] : 0;
    }
}

DEVICE void store4(float* p, bool aligned, int n, const float* v) {
    if (aligned && n >= 4) {
        uint4 u = {float_bits(v[0]), float_bits(v[1]), float_bits(v[2]), float_bits(v[3])};
        *(uint4*)p = u;
    } else {
        for (int i = 0; i < 4 && i < n; i++) p[i] = v[i];
    }
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
