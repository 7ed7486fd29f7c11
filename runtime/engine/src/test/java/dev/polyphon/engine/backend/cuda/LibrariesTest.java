package dev.polyphon.engine.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class LibrariesTest {
    @TempDir
    Path folder;

    @Test
    void aMissingLibraryIsNamedWithWhereItWasLookedFor() throws IOException {
        Path packages = Files.createDirectories(folder.resolve("env/lib/python3.12/site-packages/nvidia/cu13/lib"));
        Path toolkit = Files.createDirectories(folder.resolve("toolkit/lib64"));
        Libraries libraries = Libraries.of(Map.of("VIRTUAL_ENV", folder.resolve("env").toString(), "CUDA_PATH", folder.resolve("toolkit").toString()));
        assertThatThrownBy(() -> libraries.open(List.of("libnothing.so.1"))).isInstanceOf(CudaException.class)
                .hasMessageContaining("libnothing.so.1 was not found").hasMessageContaining(packages.toString()).hasMessageContaining(toolkit.toString());
    }

    @Test
    void aFileThatIsNoLibrarySaysSo() throws IOException {
        Path file = Files.writeString(folder.resolve("libnothing.so"), "nothing");
        assertThatThrownBy(() -> Libraries.in(folder).open(List.of("libnothing.so"))).hasMessageContaining(file + " does not open");
    }

    /** The table of attention, against the cache's own arithmetic. */
    @Test
    void attentionFindsEveryPositionsSlot() {
        int[][] blocks = {{5, 2, 9}, {7}, {}};
        var batch = new dev.polyphon.engine.backend.Batch(new int[4], new int[] {8, 9, 10, 3}, new int[] {0, 3, 4, 4}, blocks);
        AttentionTables tables = AttentionTables.of(batch, 4, block -> 10 * block);
        for (int r = 0; r < 4; r++) {
            int sequence = r < 3 ? 0 : 1;
            assertThat(tables.rows()[2 * r]).isEqualTo(batch.positions()[r]);
            for (int p = 0; p <= batch.positions()[r]; p++) {
                assertThat(tables.blocks()[tables.rows()[2 * r + 1] + p / 4]).isEqualTo(10 * blocks[sequence][p / 4]);
            }
        }
    }
}
