package dev.polyphon.engine.backend.cuda;

import dev.polyphon.engine.backend.Kernels;
import dev.polyphon.engine.backend.KernelsContract;

/** The contract on a GPU; skipped, with the reason, where none opens. */
class CudaKernelsTest extends KernelsContract {
    @Override
    protected Kernels open(int threads) {
        return Gpu.open(Precision.F32);
    }
}
