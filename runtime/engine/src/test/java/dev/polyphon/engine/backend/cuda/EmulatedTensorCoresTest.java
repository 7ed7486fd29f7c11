package dev.polyphon.engine.backend.cuda;

/** The kernels for tensor cores on the emulated device. */
class EmulatedTensorCoresTest extends TensorCoresContract {
    @Override
    CudaKernels open(long memory, Precision precision) {
        return EmulatedDevice.open(memory, precision);
    }

    @Override
    protected int rounds(int most) {
        return Math.max(1, most / 20);
    }
}
