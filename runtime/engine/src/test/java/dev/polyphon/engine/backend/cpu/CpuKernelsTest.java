package dev.polyphon.engine.backend.cpu;

import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.polyphon.engine.backend.Kernels;
import dev.polyphon.engine.backend.KernelsContract;
import dev.polyphon.engine.backend.Projection;
import dev.polyphon.engine.backend.RandomData;
import dev.polyphon.engine.backend.Tensor;
import dev.polyphon.engine.backend.Weight;
import dev.polyphon.engine.weights.DType;
import dev.polyphon.engine.weights.TensorView;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

class CpuKernelsTest extends KernelsContract {
    @Override
    protected Kernels open(int threads) {
        return CpuKernels.open(threads, true);
    }

    /** Machine code takes inputs in 16 bits: each is off by up to half a step, 1/65534 of the largest of its 32, which is 2 to 4. */
    @Override
    protected float linearError(DType weights) {
        return MachineTiles.find().isPresent() && weights.quantised() ? 2e-4f : super.linearError(weights);
    }

    @Test
    void closedMemoryIsNotTouched() {
        try (Kernels kernels = CpuKernels.open(1)) {
            Arena file = Arena.ofShared();
            TensorView view = RandomData.matrix(file, DType.Q8_0, 4, 32, new Random(1));
            Weight w = kernels.weight(view);
            Weight table = kernels.rows(view);
            Tensor x = kernels.tensor(1, 32);
            Tensor out = kernels.tensor(1, 4);
            kernels.embed(table, new int[] {3}, 1, 1, x);
            file.close();
            assertThatThrownBy(() -> kernels.embed(table, new int[] {3}, 1, 1, x)).isInstanceOf(IllegalStateException.class);
            kernels.linear(x, 0, 1, List.of(new Projection(w, null, out)));
            w.close();
            assertThatThrownBy(() -> kernels.linear(x, 0, 1, List.of(new Projection(w, null, out)))).isInstanceOf(IllegalStateException.class);
            x.close();
            assertThatThrownBy(() -> kernels.read(x, 0, 1, new float[32])).isInstanceOf(IllegalStateException.class);
        }
    }
}
