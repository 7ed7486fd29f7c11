package dev.polyphon.engine.backend.cpu;

import dev.polyphon.engine.backend.Kernels;
import dev.polyphon.engine.backend.KernelsContract;

/** The CPU's kernels by the Vector API alone, as they run where machine code cannot. */
class VectorKernelsTest extends KernelsContract {
    @Override
    protected Kernels open(int threads) {
        return CpuKernels.open(threads, false);
    }
}
