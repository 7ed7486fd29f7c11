package dev.polyphon.engine.verify;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polyphon.engine.backend.Kernels;
import dev.polyphon.engine.backend.cuda.EmulatedDevice;
import dev.polyphon.engine.backend.cuda.Gpu;
import dev.polyphon.engine.backend.cuda.Precision;
import dev.polyphon.engine.verify.Verifier.Mode;
import java.io.IOException;
import java.nio.file.Path;
import java.util.EnumSet;
import java.util.List;
import java.util.function.Supplier;
import org.junit.jupiter.api.Test;

/** The reference vectors, in f32 at their own tolerance and in bf16 at what is stated: all of them on a GPU, some on the emulated device. */
class CudaGoldenTest {
    private static final Path ROOT = Path.of("src/test/resources/golden");

    @Test
    void aGpuReproducesTheVectors() throws IOException {
        Gpu.open(Precision.F32).close();
        verify("{[!c]*,c[!o]*}", () -> Gpu.open(Precision.F32), 0, 100);
        verify("{[!c]*,c[!o]*}", () -> Gpu.open(Precision.BF16), Verifier.BF16, 100);
    }

    @Test
    void theEmulatedDeviceReproducesVectors() throws IOException {
        EmulatedDevice.open(16 << 20, Precision.F32).close();
        String cases = System.getProperty("polyphon.emulated.golden", "{base-llama,lora-llama,road-llama,base-gemma2}");
        verify(cases, () -> EmulatedDevice.open(512L << 20, Precision.F32), 0, 1);
        verify(cases, () -> EmulatedDevice.open(512L << 20, Precision.BF16), Verifier.BF16, 1);
    }

    private static void verify(String cases, Supplier<Kernels> kernels, double rounding, int atLeast) throws IOException {
        List<Verdict> verdicts = new Verifier(ROOT, kernels, rounding).run(cases, EnumSet.of(Mode.ALONE, Mode.MIXED), verdict -> {});
        assertThat(verdicts).hasSizeGreaterThanOrEqualTo(atLeast);
        assertThat(verdicts).allSatisfy(v -> assertThat(v.failure()).as(v.toString()).isNull());
    }
}
