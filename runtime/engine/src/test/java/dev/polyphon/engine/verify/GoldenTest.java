package dev.polyphon.engine.verify;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polyphon.engine.backend.Kernels;
import dev.polyphon.engine.backend.cpu.CpuKernels;
import dev.polyphon.engine.backend.reference.ReferenceKernels;
import dev.polyphon.engine.verify.Verifier.Mode;
import java.io.IOException;
import java.nio.file.Path;
import java.util.EnumSet;
import java.util.List;
import java.util.function.Supplier;
import org.junit.jupiter.api.Test;

/** The reference vectors, each case alone and in a batch with all others on its base. */
class GoldenTest {
    private static final Path ROOT = Path.of("src/test/resources/golden");

    @Test
    void referenceKernelsReproduceTheVectors() throws IOException {
        verify(ReferenceKernels::new);
    }

    @Test
    void cpuKernelsReproduceTheVectors() throws IOException {
        verify(() -> CpuKernels.open(2));
    }

    private static void verify(Supplier<Kernels> kernels) throws IOException {
        List<Verdict> verdicts = new Verifier(ROOT, kernels).run("*", EnumSet.allOf(Mode.class), verdict -> {});
        for (Mode mode : Mode.values()) {
            assertThat(verdicts).filteredOn(v -> v.mode().equals(mode.text())).hasSize(149);
        }
        assertThat(verdicts).allSatisfy(v -> assertThat(v.failure()).as(v.toString()).isNull());
    }
}
