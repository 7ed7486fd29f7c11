package dev.polyphon.engine.backend.cuda;

import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.polyphon.engine.backend.DeviceMemoryException;
import dev.polyphon.engine.backend.Kernels;
import dev.polyphon.engine.backend.KernelsContract;
import org.junit.jupiter.api.Test;

/** The kernels' own code on the emulated device; skipped where no C++ compiler is. */
class EmulatedKernelsTest extends KernelsContract {
    private static final long MEMORY = 1L << 30;

    @Override
    protected Kernels open(int threads) {
        return EmulatedDevice.open(MEMORY, Precision.F32);
    }

    @Override
    protected int rounds(int most) {
        return Math.max(1, most / 20);
    }

    @Test
    void whatDoesNotFitIsSaidAndHarmsNothing() {
        try (Kernels kernels = EmulatedDevice.open(16 << 20, Precision.F32)) {
            assertThatThrownBy(() -> kernels.tensor(4096, 4096)).isInstanceOf(DeviceMemoryException.class).hasMessageContaining("67108864 bytes wanted");
            kernels.tensor(16, 16).close();
        }
    }

    @Test
    void aFailedLaunchNamesTheKernelAndItsShapes() {
        Driver driver = EmulatedDevice.driver();
        try (Kernels kernels = EmulatedDevice.open(16 << 20, Precision.F32)) {
            int rows = 70_000;
            assertThatThrownBy(() -> kernels.add(kernels.tensor(rows, 1), kernels.tensor(rows, 1), rows)).isInstanceOf(CudaException.class)
                    .hasMessageContaining("kernel rows on 1 x 70000 blocks of 128 threads with sizes 1 0 0").hasMessageContaining("INVALID_VALUE");
        }
        assertThatThrownBy(() -> driver.call("a device", "cuMemAlloc_v2", java.lang.foreign.Arena.global().allocate(8), 1L << 60))
                .isInstanceOf(CudaException.class).hasMessageContaining("cuMemAlloc_v2 failed for a device: CUDA_ERROR_OUT_OF_MEMORY");
    }
}
