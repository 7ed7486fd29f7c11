package dev.polyphon.engine.weights;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class GgufTest {

    /** Written by the PyPI package gguf: src/test/python/make_weights_vectors.py. */
    private static final Path BLOCKS = Path.of("src/test/resources/weights/blocks.gguf");

    @TempDir
    Path folder;

    @Test
    void readsMetadataOfEveryKind() throws IOException {
        try (Gguf gguf = Gguf.open(BLOCKS)) {
            assertThat(gguf.string("general.architecture")).isEqualTo("llama");
            assertThat(gguf.string("test.string")).isEqualTo("Zoë 🎵");
            assertThat(gguf.integer("test.uint8")).isEqualTo(200);
            assertThat(gguf.integer("test.int8")).isEqualTo(-100);
            assertThat(gguf.integer("test.uint16")).isEqualTo(60_000);
            assertThat(gguf.integer("test.int16")).isEqualTo(-30_000);
            assertThat(gguf.integer("test.uint32")).isEqualTo(4_000_000_000L);
            assertThat(gguf.integer("test.int32")).isEqualTo(-2_000_000_000);
            assertThat(gguf.integer("test.int64")).isEqualTo(-(1L << 62));
            assertThat(gguf.floating("test.float32")).isEqualTo(1e-5f);
            assertThat(gguf.floating("test.float64")).isEqualTo(1e-5);
            assertThat(gguf.floating("test.int8")).isEqualTo(-100);
            assertThat(gguf.bool("test.bool")).isTrue();
            assertThat(gguf.strings("test.strings")).containsExactly("<s>", "", "Ġmusic", "日本");
            assertThat(gguf.ints("test.ints")).containsExactly(1, -2, 3);
            assertThat(gguf.floats("test.floats")).containsExactly(0.5f, -1.25f);
            assertThat(gguf.floats("test.ints")).containsExactly(1, -2, 3);
            assertThat(gguf.keys()).contains("test.bools").doesNotContain("missing");
        }
    }

    @Test
    void findsAreEmptyOnlyForMissingKeys() throws IOException {
        try (Gguf gguf = Gguf.open(BLOCKS)) {
            assertThat(gguf.findString("missing")).isEmpty();
            assertThat(gguf.findInteger("missing")).isEmpty();
            assertThat(gguf.findFloating("missing")).isEmpty();
            assertThat(gguf.findBool("missing")).isEmpty();
            assertThat(gguf.findStrings("missing")).isEmpty();
            assertThat(gguf.findInts("missing")).isEmpty();
            assertThat(gguf.findFloats("missing")).isEmpty();
            assertThat(gguf.findString("test.string")).contains("Zoë 🎵");
            assertThat(gguf.findInts("test.ints")).isPresent();
            assertThatThrownBy(() -> gguf.findString("test.ints")).isInstanceOf(MalformedFileException.class);
        }
    }

    @Test
    void saysWhatIsWrongWithMetadata() throws IOException {
        try (Gguf gguf = Gguf.open(BLOCKS)) {
            assertThatThrownBy(() -> gguf.integer("missing")).isInstanceOf(MalformedFileException.class)
                    .hasMessage(BLOCKS + ": metadata 'missing' is missing, expected an integer");
            assertThatThrownBy(() -> gguf.integer("test.string")).hasMessageEndingWith("metadata 'test.string' is STRING, expected an integer");
            assertThatThrownBy(() -> gguf.integer("test.float32")).hasMessageEndingWith("is FLOAT32, expected an integer");
            assertThatThrownBy(() -> gguf.integer("test.uint64")).hasMessageContaining("9223372036854775809");
            assertThatThrownBy(() -> gguf.string("test.strings")).hasMessageEndingWith("is STRING[4], expected a string");
            assertThatThrownBy(() -> gguf.strings("test.string")).hasMessageEndingWith("is STRING, expected an array of strings");
            assertThatThrownBy(() -> gguf.ints("test.floats")).hasMessageEndingWith("is FLOAT32[2], expected an array of integers");
            assertThatThrownBy(() -> gguf.floats("test.bools")).hasMessageEndingWith("is BOOL[2], expected an array of numbers");
            assertThatThrownBy(() -> gguf.bool("test.uint8")).hasMessageEndingWith("is UINT8, expected a bool");
        }
    }

    @Test
    void shapesAreOutermostFirst() throws IOException {
        try (Gguf gguf = Gguf.open(BLOCKS)) {
            for (TensorView tensor : gguf.tensors()) {
                if (tensor.rank() == 2) {
                    assertThat(tensor.shape()).as(tensor.name()).containsExactly(3, 512);
                }
            }
            assertThat(gguf.find("q4_k").orElseThrow().describe()).isEqualTo("Q4_K[3, 512]");
            assertThat(gguf.find("i64").orElseThrow().describe()).isEqualTo("I64[5]");
            assertThat(gguf.find("nothing")).isEmpty();
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {2, 3})
    void readsBothVersions(int version) throws IOException {
        Path file = sample().version(version).write(folder.resolve("a.gguf"));
        try (Gguf gguf = Gguf.open(file)) {
            assertThat(Floats.all(gguf.find("norm").orElseThrow())).containsExactly(1, 2, 3);
            assertThat(Floats.all(gguf.find("w").orElseThrow())).containsExactly(1, 2, 3, 4, 5, 6);
            assertThat(gguf.tensors()).extracting(TensorView::name).containsExactly("w", "norm");
        }
    }

    @Test
    void memoryIsGoneAfterClose() throws IOException {
        Gguf gguf = Gguf.open(sample().write(folder.resolve("a.gguf")));
        TensorView tensor = gguf.find("w").orElseThrow();
        gguf.close();
        gguf.close();
        assertThatThrownBy(() -> Floats.all(tensor)).isInstanceOf(IllegalStateException.class);
    }

    @Test
    void readsAVocabulary() throws IOException {
        List<String> tokens = IntStream.range(0, 60_000).mapToObj(i -> "tök" + i).toList();
        try (Gguf gguf = Gguf.open(new GgufBuilder().metadata("tokens", tokens).write(folder.resolve("a.gguf")))) {
            assertThat(gguf.strings("tokens")).isEqualTo(tokens);
        }
    }

    @Test
    void refusesWhatIsNotGguf() throws IOException {
        refused(new byte[0], "the magic number needs 4 bytes at byte 0, but only 0 are left");
        refused("{\"not\": 1}".getBytes(), "not a GGUF file: it starts with 0x7B226E6F");
        refused(sample().version(1).build(), "GGUF version 1; versions 2 and 3");
        refused(sample().version(0x0300_0000).build(), "big-endian");
    }

    @Test
    void refusesCountsThatTheFileCannotHold() throws IOException {
        refused(patched(b -> b.putLong(8, -1)), "the number of tensors is 18446744073709551615, but");
        refused(patched(b -> b.putLong(8, 1000)), "the number of tensors is 1000, but");
        refused(patched(b -> b.putLong(16, Long.MAX_VALUE)), "the number of metadata entries is 9223372036854775807");
        refused(patched(b -> b.putLong(24, 1L << 40)), "a metadata key at byte 24 is 1099511627776 bytes long");
        byte[] array = new GgufBuilder().metadata("a", new int[]{1}).build();
        ByteBuffer.wrap(array).order(ByteOrder.LITTLE_ENDIAN).putLong(24 + 8 + 1 + 8, Long.MAX_VALUE / 4 + 2);
        refused(array, "the length of metadata 'a' is");
    }

    @Test
    void refusesTensorsThatDoNotFit() throws IOException {
        byte[] good = sample().build();
        refused(Arrays.copyOf(good, good.length - 1), "tensor 'norm' needs 12 bytes at offset 32, but the file has 43 bytes of tensor data");
        refused(new GgufBuilder().tensor("w", 8, new long[]{32, 31}, new byte[34 * 31]).build(), "tensor 'w' has rows of 31 elements, not whole blocks");
        refused(new GgufBuilder().tensor("w", 0, new long[]{-1, 4}, new byte[16]).build(), "tensor 'w' has a dimension outside");
        long big = Integer.MAX_VALUE;
        refused(new GgufBuilder().tensor("w", 0, new long[]{big, big, big}, new byte[16]).build(), "tensor 'w' is too large");
        refused(new GgufBuilder().tensor("w", 0, new long[]{1, 1, 1, 1, 1}, new byte[4]).build(), "tensor 'w' has 5 dimensions");
    }

    @Test
    void refusesOtherTensorTypes() throws IOException {
        refused(new GgufBuilder().tensor("blk.0.w", 7, new long[]{32}, new byte[24]).build(), "tensor 'blk.0.w' has type Q5_1 (GGML type 7), which is not");
        refused(new GgufBuilder().tensor("blk.0.w", 99, new long[]{32}, new byte[22]).build(), "tensor 'blk.0.w' has type unknown (GGML type 99)");
    }

    @Test
    void refusesDuplicatesAndOverlaps() throws IOException {
        refused(new GgufBuilder().f32("w", new long[]{1}, 1).f32("w", new long[]{1}, 2).build(), "tensor 'w' appears twice");
        byte[] overlapping = sample().build();
        ByteBuffer bytes = ByteBuffer.wrap(overlapping).order(ByteOrder.LITTLE_ENDIAN);
        int normOffset = new String(overlapping, StandardCharsets.ISO_8859_1).indexOf("norm") + 4 + 4 + 8 + 4;
        assertThat(bytes.getLong(normOffset)).isEqualTo(32);
        bytes.putLong(normOffset, 0);
        refused(overlapping, "tensors 'norm' (bytes 0 to 12) and 'w' (bytes 0 to 24) overlap");
        bytes.putLong(normOffset, 8);
        refused(overlapping, "tensor 'norm' stands at offset 8, not a multiple of the alignment 32");
    }

    @Test
    void refusesSplitModelsAndBadAlignment() throws IOException {
        refused(new GgufBuilder().metadata("split.count", 3).build(), "split over 3 files");
        refused(new GgufBuilder().metadata("general.alignment", 0).build(), "'general.alignment' is 0");
        refused(new GgufBuilder().metadata("general.alignment", 48).build(), "'general.alignment' is 48");
    }

    @Test
    void refusesInvalidUtf8() throws IOException {
        byte[] bytes = new GgufBuilder().metadata("s", "abc").build();
        bytes[bytes.length - 2] = (byte) 0xC3;
        try (Gguf gguf = Gguf.open(Files.write(folder.resolve("a.gguf"), bytes))) {
            assertThatThrownBy(() -> gguf.string("s")).isInstanceOf(MalformedFileException.class).hasMessageContaining("metadata 's' is not valid UTF-8");
        }
    }

    private static GgufBuilder sample() {
        return new GgufBuilder().metadata("general.name", "sample").f32("w", new long[]{3, 2}, 1, 2, 3, 4, 5, 6).f32("norm", new long[]{3}, 1, 2, 3);
    }

    private static byte[] patched(Consumer<ByteBuffer> patch) {
        byte[] bytes = sample().build();
        patch.accept(ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN));
        return bytes;
    }

    private void refused(byte[] bytes, String problem) throws IOException {
        Path file = Files.write(folder.resolve("bad.gguf"), bytes);
        assertThatThrownBy(() -> Gguf.open(file).close()).isInstanceOf(MalformedFileException.class).hasMessageStartingWith(file + ": ")
                .hasMessageContaining(problem);
    }
}
