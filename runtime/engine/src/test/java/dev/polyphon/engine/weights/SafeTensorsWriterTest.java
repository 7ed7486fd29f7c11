package dev.polyphon.engine.weights;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class SafeTensorsWriterTest {

    @TempDir
    Path folder;

    @Test
    void writesWhatIsRead() throws IOException {
        Path file = folder.resolve("a.safetensors");
        TensorView bytes = new TensorView("bytes \"quoted\"", DType.U8, new long[]{3}, MemorySegment.ofArray(new byte[]{1, 2, 3}));
        TensorView half = new TensorView("half", DType.F16, new long[]{1}, MemorySegment.ofArray(new byte[]{0, 0x3C}));
        TensorView empty = new TensorView("empty", DType.F64, new long[]{0, 5}, MemorySegment.ofArray(new byte[0]));
        new SafeTensorsWriter().metadata("format", "pt").add(bytes).add(half).add(empty).add("w", new long[]{2, 1}, 1.5f, -2).add("s", new long[0], 7)
                .write(file);
        try (SafeTensors read = SafeTensors.open(file)) {
            assertThat(read.metadata()).isEqualTo(Map.of("format", "pt"));
            assertThat(read.tensors()).extracting(TensorView::describe).containsExactly("F64[0, 5]", "F32[2, 1]", "F32[]", "F16[1]", "U8[3]");
            assertThat(Floats.all(read.find("w").orElseThrow())).containsExactly(1.5f, -2);
            assertThat(Floats.all(read.find("s").orElseThrow())).containsExactly(7);
            assertThat(Floats.all(read.find("half").orElseThrow())).containsExactly(1);
            assertThat(Floats.all(read.find("bytes \"quoted\"").orElseThrow())).containsExactly(1, 2, 3);
            for (TensorView tensor : read.tensors()) {
                assertThat(tensor.data().address() % tensor.dtype().blockBytes()).isZero();
            }
        }
        try (Stream<Path> files = Files.list(folder)) {
            assertThat(files).containsExactly(file);
        }
    }

    @Test
    void copiesFromAnotherFileAndReplacesAnOlderOne() throws IOException {
        Path file = Files.writeString(folder.resolve("a.safetensors"), "older");
        try (SafeTensors source = SafeTensors.open(Path.of("src/test/resources/golden/adapters/lora-llama"))) {
            SafeTensorsWriter writer = new SafeTensorsWriter();
            source.tensors().forEach(writer::add);
            writer.write(file);
            try (SafeTensors copy = SafeTensors.open(file)) {
                assertThat(copy.tensors()).hasSameSizeAs(source.tensors());
                for (TensorView tensor : source.tensors()) {
                    assertThat(copy.find(tensor.name()).orElseThrow().data().mismatch(tensor.data())).isEqualTo(-1);
                }
            }
        }
    }

    @Test
    void leavesNothingBehindWhenItFails() throws IOException {
        MemorySegment gone;
        try (Arena arena = Arena.ofShared()) {
            gone = arena.allocate(4);
        }
        SafeTensorsWriter writer = new SafeTensorsWriter().add(new TensorView("w", DType.F32, new long[]{1}, gone));
        assertThatThrownBy(() -> writer.write(folder.resolve("a.safetensors"))).isInstanceOf(IllegalStateException.class);
        try (Stream<Path> files = Files.list(folder)) {
            assertThat(files).isEmpty();
        }
    }

    @Test
    void refusesWhatTheFormatLacks() {
        SafeTensorsWriter writer = new SafeTensorsWriter().add("w", new long[]{1}, 1);
        assertThatThrownBy(() -> writer.add("w", new long[]{1}, 1)).isInstanceOf(IllegalArgumentException.class).hasMessageContaining("w is taken");
        assertThatThrownBy(() -> writer.add("__metadata__", new long[]{1}, 1)).isInstanceOf(IllegalArgumentException.class);
        TensorView quantised = new TensorView("q", DType.Q4_0, new long[]{32}, MemorySegment.ofArray(new byte[18]));
        assertThatThrownBy(() -> writer.add(quantised)).isInstanceOf(IllegalArgumentException.class).hasMessageContaining("no type Q4_0");
    }
}
