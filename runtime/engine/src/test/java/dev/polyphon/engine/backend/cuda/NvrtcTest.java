package dev.polyphon.engine.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** All kernels through the real compiler, which needs no GPU; skipped where it is not found. */
class NvrtcTest {
    @TempDir
    static Path cache;

    private static Nvrtc nvrtc;

    @BeforeAll
    static void open() {
        try {
            nvrtc = new Nvrtc(Libraries.of(System.getenv()).open(Libraries.NVRTC));
        } catch (CudaException e) {
            Assumptions.abort("no NVRTC: " + e.getMessage());
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"sm_80", "sm_90a", "sm_100"})
    void compilesEveryKernel(String architecture) {
        for (Map.Entry<String, java.util.List<String>> file : Sources.ALL.entrySet()) {
            byte[] code = Sources.compiled(file.getKey(), nvrtc, architecture, 13_000, cache);
            String text = new String(code, StandardCharsets.ISO_8859_1);
            assertThat(text).startsWith("\u007fELF");
            assertThat(file.getValue()).allSatisfy(kernel -> assertThat(text).contains(".text." + kernel + "\0"));
            assertThat(Sources.compiled(file.getKey(), cached(), architecture, 13_000, cache)).as("from the cache").isEqualTo(code);
        }
    }

    /** The same version, so that the cache is hit, but no compiler behind it. */
    private static Compiler cached() {
        return new Compiler() {
            @Override
            public String version() {
                return nvrtc.version();
            }

            @Override
            public byte[] compile(String name, String source, String header, String architecture) {
                throw new AssertionError(name + " was compiled again");
            }
        };
    }

    @Test
    void passesOnWhatTheCompilerSays() {
        assertThatThrownBy(() -> nvrtc.compile("wrong.cu", "#include \"common.cuh\"\nKERNEL(wrong) { nonsense(); }", Sources.read(Sources.HEADER), "sm_90a"))
                .isInstanceOf(CudaException.class).hasMessageContaining("wrong.cu does not compile for sm_90a").hasMessageContaining("nonsense");
    }
}
