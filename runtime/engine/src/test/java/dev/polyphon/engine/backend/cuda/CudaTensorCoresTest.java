package dev.polyphon.engine.backend.cuda;

/** The kernels for tensor cores on a GPU; skipped, with the reason, where none opens. */
class CudaTensorCoresTest extends TensorCoresContract {
    @Override
    CudaKernels open(long memory, Precision precision) {
        return Gpu.open(memory, precision);
    }
}
