package dev.polyphon.engine.verify;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polyphon.engine.backend.Kernels;
import dev.polyphon.engine.backend.cpu.CpuKernels;
import dev.polyphon.engine.backend.reference.ReferenceKernels;
import dev.polyphon.engine.verify.Verifier.Mode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import java.util.function.Supplier;
import org.junit.jupiter.api.Test;

/**
 * The reference vectors, each case alone, in a batch with all others on its base, loaded again, and merged into its base; and {@code docs/adapters.md},
 * which shows how they came out.
 */
class GoldenTest {
    private static final Path ROOT = Path.of("src/test/resources/golden");
    private static final Path DOCUMENT = Path.of("../../docs/adapters.md");

    @Test
    void referenceKernelsReproduceTheVectors() throws IOException {
        verify(ReferenceKernels::new, EnumSet.complementOf(EnumSet.of(Mode.MERGED)));
    }

    @Test
    void cpuKernelsReproduceTheVectors() throws IOException {
        VerdictTable table = VerdictTable.of(verify(() -> CpuKernels.open(2), EnumSet.allOf(Mode.class)));
        Files.writeString(Path.of("target/adapters-table.md"), table.markdown());
        if (Boolean.getBoolean("polyphon.docs.write")) {
            Files.writeString(DOCUMENT, VerdictTable.replacedIn(Files.readString(DOCUMENT), table));
        }
        assertThat(VerdictTable.in(Files.readString(DOCUMENT)).outcomes()).as("the table in docs/adapters.md; see there how it is made anew")
                .isEqualTo(table.outcomes());
    }

    private static List<Verdict> verify(Supplier<Kernels> kernels, Set<Mode> modes) throws IOException {
        List<Verdict> verdicts = new Verifier(ROOT, kernels).run("*", modes, verdict -> {});
        for (Mode mode : modes) {
            assertThat(verdicts).filteredOn(v -> v.mode().equals(mode.text())).hasSize(mode == Mode.MERGED ? 113 : 171);
        }
        assertThat(verdicts).allSatisfy(v -> assertThat(v.failure()).as(v.toString()).isNull());
        return verdicts;
    }
}
