// The part of libcuda that the backend calls, on the processor: device memory is the heap, and a block's threads are fibers that take turns, so that
// the very sources of the kernels run where there is no GPU. x86-64 only.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <vector>
#ifdef CHECK_CUDA_H
#include <cuda.h>
#undef cuMemAlloc
#else
typedef int CUresult;
typedef int CUdevice;
typedef unsigned long long CUdeviceptr;
typedef void *CUcontext, *CUmodule, *CUfunction, *CUstream, *CUgraph, *CUgraphExec;
typedef int CUstreamCaptureMode, CUfunction_attribute;
struct CUlaunchConfig {
    unsigned gridDimX, gridDimY, gridDimZ, blockDimX, blockDimY, blockDimZ, sharedMemBytes;
    CUstream hStream;
    void* attrs;
    unsigned numAttrs;
};
#endif

#define EMULATED
#define SHARED static
#define SHARED_AT_LAUNCH(T, name) T* name = (T*)at_launch
#define DEVICE static inline
#define KERNEL(name) static void name##_body(const struct Args& a); extern "C" void kernel_##name(void* p) { name##_body(*(const struct Args*)p); } static void name##_body(const struct Args& a)

static unsigned char at_launch[228 << 10] __attribute__((aligned(1024)));

#define KERNEL_OF(name, threads, blocks) KERNEL(name)

// ---- fibers

asm(R"(
.globl polyphon_switch
polyphon_switch:
  push %rbp
  push %rbx
  push %r12
  push %r13
  push %r14
  push %r15
  mov %rsp, (%rdi)
  mov %rsi, %rsp
  pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %rbx
  pop %rbp
  ret
)");
extern "C" void polyphon_switch(void** save, void* to);

namespace {
const int MOST = 1024;
const size_t STACK = 32 << 10;

struct Barrier {
    int arrived = 0, generation = 0;
};

struct Fiber {
    void* sp;
    char* stack;
    bool done;
};

Fiber fibers[MOST];
void* home;
int current, threads, alive;
unsigned blockX, blockY, gridX;
Barrier all;
Barrier warps[MOST / 32];
float lanes[MOST];
unsigned char parity[MOST];
void (*body)(void*);
void* arguments;

void next() {
    int from = current;
    if (alive == 0) {
        polyphon_switch(&fibers[from].sp, home);
        return;
    }
    do {
        current = (current + 1) % threads;
    } while (fibers[current].done);
    if (current != from) polyphon_switch(&fibers[from].sp, fibers[current].sp);
}

void wait(Barrier& b, int count) {
    int generation = b.generation;
    if (++b.arrived == count) {
        b.arrived = 0;
        b.generation++;
        return;
    }
    while (b.generation == generation) next();
}

extern "C" void polyphon_fiber() {
    body(arguments);
    fibers[current].done = true;
    alive--;
    next();
    abort();
}

void block() {
    all = Barrier();
    alive = threads;
    for (int i = 0; i < threads; i++) {
        if (!fibers[i].stack) fibers[i].stack = (char*)aligned_alloc(64, STACK);
        if (i % 32 == 0) warps[i / 32] = Barrier();
        void** top = (void**)(fibers[i].stack + STACK - 64);
        *--top = nullptr;
        *--top = (void*)polyphon_fiber;
        fibers[i].sp = top - 6;
        fibers[i].done = false;
        parity[i] = 0;
    }
    current = 0;
    polyphon_switch(&home, fibers[0].sp);
}
}

#define BLOCK_X blockX
#define BLOCK_Y blockY
#define GRID_X gridX
#define THREAD ((unsigned)current)
#define THREADS ((unsigned)threads)
#define SYNC() wait(::all, threads)
#define LET_NEXT_START()
#define WAIT_FOR_LAST()
static float exchange(float v, int mask) {
    int me = current;
    lanes[me] = v;
    wait(warps[me / 32], 32);
    float other = lanes[me ^ mask];
    wait(warps[me / 32], 32);
    return other;
}
static inline float bits(uint32_t u) { float f; memcpy(&f, &u, 4); return f; }
static inline float half_bits(uint16_t h) {
    int e = h >> 10 & 31, m = h & 1023;
    float v = e == 0 ? ldexpf((float)m, -24) : e == 31 ? (m ? NAN : INFINITY) : ldexpf((float)(m | 1024), e - 25);
    return h & 0x8000 ? -v : v;
}

static inline uint32_t float_bits(float f) { uint32_t u; memcpy(&u, &f, 4); return u; }
struct uint4 { uint32_t x, y, z, w; };
static inline float power2(float x) { return exp2f(x); }
static inline uint32_t bf16(float f) {
    uint32_t u = float_bits(f);
    return f != f ? 0x7fff : u + 0x7fff + (u >> 16 & 1) >> 16;
}
static inline uint32_t bf16_pair(float low, float high) { return bf16(low) | bf16(high) << 16; }
static inline uint32_t tf32(float f) { return float_bits(f) + 0x1000 & 0xffffe000u; }
static inline void copy16(void* shared, const void* global, bool there) {
    if (there) memcpy(shared, global, 16);
    else memset(shared, 0, 16);
}
static inline void seen_by_all() {}
static inline float fresh(const float* p) { return *p; }
static inline uint32_t take_number(uint32_t* counter) { return (*counter)++; }
static inline void soon(const void*) {}
static inline void copies_end() {}
template <int left> static inline void copies_wait() {}
static inline void add_to(uint64_t* p, uint64_t v) { *p += v; }
static inline void add_to(uint32_t* p, uint32_t v) { *p += v; }

// The matrices' fragments as the PTX manual lays them out: every lane leaves its own where all can see them, and takes what its four sums need. Which of the
// two places is used alternates, so that one meeting of the warp is enough.
struct Fragments { uint32_t a[4], b[2]; };
static Fragments fragments[2][MOST];

static Fragments* exchanged(uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint32_t b0, uint32_t b1) {
    int me = current;
    Fragments* all = fragments[parity[me] ^= 1];
    all[me] = {{a0, a1, a2, a3}, {b0, b1}};
    wait(warps[me / 32], 32);
    return all + me / 32 * 32;
}
static inline void mma_bf16(float* c, uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint32_t b0, uint32_t b1) {
    Fragments* all = exchanged(a0, a1, a2, a3, b0, b1);
    int lane = current % 32;
    for (int i = 0; i < 4; i++) {
        int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
        double sum = 0;
        for (int k = 0; k < 16; k++) {
            uint32_t a = all[row % 8 * 4 + k % 8 / 2].a[row / 8 + k / 8 * 2], b = all[column * 4 + k % 8 / 2].b[k / 8];
            sum += (double)bits(k % 2 ? a & 0xffff0000u : a << 16) * bits(k % 2 ? b & 0xffff0000u : b << 16);
        }
        c[i] = (float)(c[i] + sum);
    }
}
static inline void mma_tf32(float* c, uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint32_t b0, uint32_t b1) {
    Fragments* all = exchanged(a0, a1, a2, a3, b0, b1);
    int lane = current % 32;
    for (int i = 0; i < 4; i++) {
        int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
        double sum = 0;
        for (int k = 0; k < 8; k++) sum += (double)bits(all[row % 8 * 4 + k % 4].a[row / 8 + k / 4 * 2]) * bits(all[column * 4 + k % 4].b[k / 4]);
        c[i] = (float)(c[i] + sum);
    }
}

#include "kernels.inc"

// ---- the driver's functions; an allocation remembers its size so that copies past its end are caught

static size_t used = 0;
static const size_t TOTAL = (size_t)4 << 30;
#define API extern "C" CUresult
#define OK (CUresult)0
#define INVALID (CUresult)1

API cuInit(unsigned int) { return OK; }
API cuDriverGetVersion(int* v) { *v = 13000; return OK; }
API cuDeviceGetCount(int* n) { *n = 1; return OK; }
API cuDeviceGet(CUdevice* d, int n) { *d = n; return OK; }
API cuDeviceGetName(char* name, int size, CUdevice) { snprintf(name, size, "emulated"); return OK; }
#ifdef CHECK_CUDA_H
API cuDeviceGetAttribute(int* v, CUdevice_attribute attribute, CUdevice) { *v = attribute == 75 ? 9 : attribute == 16 ? 2 : attribute == 97 ? 227 << 10 : 0; return OK; }
#else
API cuDeviceGetAttribute(int* v, int attribute, CUdevice) { *v = attribute == 75 ? 9 : attribute == 16 ? 2 : attribute == 97 ? 227 << 10 : 0; return OK; }
#endif
API cuDevicePrimaryCtxRetain(CUcontext* c, CUdevice) { *c = (CUcontext)1; return OK; }
API cuDevicePrimaryCtxRelease_v2(CUdevice) { return OK; }
API cuCtxSetCurrent(CUcontext) { return OK; }
API cuMemGetInfo_v2(size_t* free, size_t* total) { *free = TOTAL - used; *total = TOTAL; return OK; }
API cuMemAlloc_v2(CUdeviceptr* p, size_t n) {
    if (used + n > TOTAL) return (CUresult)2;
    char* m = (char*)aligned_alloc(256, (n + 767) / 256 * 256) + 256;
    *(size_t*)(m - 256) = n;
    memset(m, 0xff, n < (64u << 20) ? n : (64u << 20));
    used += n;
    *p = (CUdeviceptr)m;
    return OK;
}
API cuMemFree_v2(CUdeviceptr p) { used -= *(size_t*)((char*)p - 256); free((char*)p - 256); return OK; }
API cuMemHostAlloc(void** p, size_t n, unsigned int) { *p = aligned_alloc(256, (n + 511) / 256 * 256); return OK; }
API cuMemFreeHost(void* p) { free(p); return OK; }
API cuMemcpyHtoDAsync_v2(CUdeviceptr d, const void* s, size_t n, CUstream) { memcpy((void*)d, s, n); return OK; }
API cuMemcpyDtoHAsync_v2(void* d, CUdeviceptr s, size_t n, CUstream) { memcpy(d, (void*)s, n); return OK; }
API cuMemsetD8Async(CUdeviceptr d, unsigned char v, size_t n, CUstream) { memset((void*)d, v, n); return OK; }
API cuStreamCreate(CUstream* s, unsigned int) { static long n = 1; *s = (CUstream)n++; return OK; }
API cuStreamDestroy_v2(CUstream) { return OK; }
API cuStreamSynchronize(CUstream) { return OK; }
API cuModuleLoadData(CUmodule* m, const void* image) { *m = (CUmodule)1; return image ? OK : INVALID; }
API cuModuleUnload(CUmodule) { return OK; }
API cuModuleGetFunction(CUfunction* f, CUmodule, const char* name) {
    char symbol[128];
    snprintf(symbol, sizeof symbol, "kernel_%s", name);
    Dl_info info;
    dladdr((void*)&polyphon_fiber, &info);
    void* self = dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD);
    *f = (CUfunction)dlsym(self, symbol);
    return *f ? OK : (CUresult)500;
}
static CUresult run(CUfunction f, unsigned gx, unsigned gy, unsigned bx, void* args) {
    body = (void (*)(void*))f;
    arguments = args;
    threads = bx;
    gridX = gx;
    for (blockY = 0; blockY < gy; blockY++)
        for (blockX = 0; blockX < gx; blockX++) block();
    return OK;
}

// A graph has copies of its kernels' arguments, as the driver's have.
struct Node {
    CUfunction f;
    unsigned gx, gy, bx;
    char args[512];
};
static std::vector<Node>* capture = nullptr;

API cuFuncSetAttribute(CUfunction f, CUfunction_attribute attribute, int v) {
    return f && attribute == 8 && v >= 0 && v <= 227 << 10 ? OK : INVALID;
}
API cuLaunchKernelEx(const CUlaunchConfig* c, CUfunction f, void** params, void**) {
    if (!c->gridDimX || !c->gridDimY || c->gridDimY > 65535 || c->gridDimZ != 1 || c->blockDimY != 1 || c->blockDimZ != 1 || !c->blockDimX
            || c->blockDimX > (unsigned)MOST || c->blockDimX % 32 || c->sharedMemBytes > 227 << 10 || c->numAttrs != 1 || *(int*)c->attrs != 6) {
        return INVALID;
    }
    if (!capture) return run(f, c->gridDimX, c->gridDimY, c->blockDimX, params[0]);
    Node node = {f, c->gridDimX, c->gridDimY, c->blockDimX, {}};
    memcpy(node.args, params[0], sizeof(Args));
    capture->push_back(node);
    return OK;
}
API cuStreamBeginCapture_v2(CUstream, CUstreamCaptureMode) {
    if (capture) return INVALID;
    capture = new std::vector<Node>();
    return OK;
}
API cuStreamEndCapture(CUstream, CUgraph* g) {
    *g = (CUgraph)capture;
    capture = nullptr;
    return *g ? OK : INVALID;
}
API cuGraphInstantiateWithFlags(CUgraphExec* e, CUgraph g, unsigned long long) {
    *e = (CUgraphExec)new std::vector<Node>(*(std::vector<Node>*)g);
    return OK;
}
API cuGraphLaunch(CUgraphExec e, CUstream) {
    for (Node& n : *(std::vector<Node>*)e) run(n.f, n.gx, n.gy, n.bx, n.args);
    return OK;
}
API cuGraphDestroy(CUgraph g) { delete (std::vector<Node>*)g; return OK; }
API cuGraphExecDestroy(CUgraphExec e) { delete (std::vector<Node>*)e; return OK; }
API cuGetErrorName(CUresult e, const char** s) { *s = e == 1 ? "CUDA_ERROR_INVALID_VALUE" : e == 2 ? "CUDA_ERROR_OUT_OF_MEMORY" : "CUDA_ERROR"; return OK; }
API cuGetErrorString(CUresult, const char** s) { *s = "emulated"; return OK; }
