package dev.polyphon.engine.backend.cuda;

import dev.polyphon.engine.backend.Kernels;
import dev.polyphon.engine.backend.KernelsContract;
import dev.polyphon.engine.weights.DType;

/** The kernels for tensor cores on the emulated device: near the reference as far as bf16 and tf32 go, and rows as independent as anywhere. */
class EmulatedTensorCoresTest extends KernelsContract {
    @Override
    protected Kernels open(int threads) {
        return EmulatedDevice.open(1L << 30, Precision.BF16);
    }

    @Override
    protected int rounds(int most) {
        return Math.max(1, most / 20);
    }

    @Override
    protected float kvError() {
        return 1f / 128;
    }

    /** Of sums of up to 700 products, each with an error of half a unit in the last place of its factors. */
    @Override
    protected float linearError(DType weights) {
        return weights == DType.BF16 ? 0.05f : 0.02f;
    }
}
