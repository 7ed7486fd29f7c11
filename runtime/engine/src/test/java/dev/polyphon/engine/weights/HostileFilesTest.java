package dev.polyphon.engine.weights;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Random damage to valid files: each is read, completely, or refused with the one exception; anything else fails the test. */
class HostileFilesTest {

    private static final int FILES = 5_000;

    /** Bytes that mean something in one of the formats. */
    private static final byte[] TELLING = "\0\1\177\377 09{}[]\",:./(tRsuq".getBytes(StandardCharsets.ISO_8859_1);

    private interface Reader {
        /** Opens the file and reads all that is in it. */
        void readAll(Path file) throws IOException;
    }

    private interface Getter {
        Object get(String key) throws MalformedFileException;
    }

    @TempDir
    Path folder;

    @Test
    void gguf() throws IOException {
        byte[] valid = new GgufBuilder().metadata("general.architecture", "llama").metadata("a.number", 7).metadata("a.long", -7L)
                .metadata("general.alignment", 32).metadata("a.float", 0.5f).metadata("a.double", 0.25).metadata("a.flag", true)
                .metadata("a.tokens", List.of("<s>", "", "näh")).metadata("a.ints", new int[]{1, 2, 3}).metadata("a.floats", new float[]{1, 2})
                .f32("norm", new long[]{3}, 1, 2, 3).tensor("q", 12, new long[]{2, 256}, new byte[288]).tensor("h", 1, new long[]{1, 2, 2}, new byte[8])
                .build();
        attack(valid, 1, HostileFilesTest::readGguf);
    }

    @Test
    void safeTensors() throws IOException {
        Path file = folder.resolve("valid.safetensors");
        new SafeTensorsWriter().metadata("format", "pt").add("a.weight", new long[]{2, 3}, 1, 2, 3, 4, 5, 6).add("b.weight", new long[]{1}, 7).write(file);
        attack(Files.readAllBytes(file), 2, path -> readTensors(SafeTensors.open(path)));
    }

    @Test
    void safeTensorsIndex() throws IOException {
        new SafeTensorsWriter().add("a", new long[]{1}, 1).write(folder.resolve("one.safetensors"));
        new SafeTensorsWriter().add("b", new long[]{1}, 1).write(folder.resolve("two.safetensors"));
        String index = "{\"metadata\": {\"total_size\": 8}, \"weight_map\": {\"a\": \"one.safetensors\", \"b\": \"two.safetensors\"}}";
        attack(index.getBytes(StandardCharsets.UTF_8), 3, path -> {
            Path moved = Files.move(path, folder.resolve("model.safetensors.index.json"), StandardCopyOption.REPLACE_EXISTING);
            readTensors(SafeTensors.open(moved));
        });
    }

    @Test
    void torch() throws IOException {
        byte[] valid = Files.readAllBytes(Path.of("src/test/resources/weights/torch/strided.bin"));
        attack(valid, 4, path -> readTensors(TorchFile.open(path)));
    }

    @Test
    void torchPickle() throws IOException {
        Path golden = Path.of("src/test/resources/weights/torch/parameters.bin");
        try (Mapping mapping = new Mapping()) {
            Map<String, MemorySegment> entries = StoredZip.entries(golden, mapping.map(golden));
            byte[] pickle = bytes(entries.get("parameters/data.pkl"));
            attack(pickle, 5, path -> {
                TorchBuilder zip = new TorchBuilder().code(Files.readString(path, StandardCharsets.ISO_8859_1));
                Files.delete(path);
                zip.entry("data/0", bytes(entries.get("parameters/data/0"))).entry("data/1", bytes(entries.get("parameters/data/1")));
                readTensors(TorchFile.open(Files.write(path, zip.build())));
            });
        }
    }

    private static byte[] bytes(MemorySegment segment) {
        return segment.toArray(ValueLayout.JAVA_BYTE);
    }

    private void attack(byte[] valid, int seed, Reader reader) throws IOException {
        Path file = folder.resolve("attacked");
        Files.write(file, valid);
        reader.readAll(file);
        int refused = 0;
        for (int i = 0; i < FILES; i++) {
            byte[] bytes = damage(valid, new Random(1000L * seed * FILES + i));
            // A file system may make sure of a rewritten file on the disk, a new one is only written.
            Files.deleteIfExists(file);
            Files.write(file, bytes);
            try {
                reader.readAll(file);
            } catch (MalformedFileException e) {
                refused++;
                assertThat(e.getMessage()).hasSizeLessThan(2000);
            } catch (Throwable t) {
                throw new AssertionError("file " + i + " of seed " + seed + " (" + bytes.length + " bytes)", t);
            }
        }
        assertThat(refused).as("refused").isBetween(FILES / 10, FILES - 1);
    }

    private static byte[] damage(byte[] valid, Random random) {
        byte[] bytes = valid.clone();
        int times = 1 + random.nextInt(3);
        for (int i = 0; i < times; i++) {
            int at = random.nextInt(bytes.length);
            switch (random.nextInt(8)) {
                case 0 -> bytes = Arrays.copyOf(bytes, Math.max(1, at));
                case 1 -> bytes[at] ^= (byte) (1 << random.nextInt(8));
                case 2 -> bytes[at] = (byte) random.nextInt(256);
                case 3 -> bytes[at] = TELLING[random.nextInt(TELLING.length)];
                case 4 -> put(bytes, at, 4, List.of(0L, -1L, 0x7FFF_FFFFL, 0x8000_0000L, 0xFFFFL, 1L << 20).get(random.nextInt(6)));
                case 5 -> put(bytes, at, 8, List.of(0L, -1L, Long.MAX_VALUE, Long.MIN_VALUE, 1L << 32, 1L << 40, 7L).get(random.nextInt(7)));
                case 6 -> bytes = splice(bytes, at, at, bytes, random);
                default -> bytes = splice(bytes, at, Math.min(bytes.length, at + 1 + random.nextInt(16)), valid, random);
            }
        }
        return bytes;
    }

    private static void put(byte[] bytes, int at, int size, long value) {
        byte[] little = ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(value).array();
        System.arraycopy(little, 0, bytes, at, Math.min(size, bytes.length - at));
    }

    /** Replaces a range by some other part of a file. */
    private static byte[] splice(byte[] bytes, int from, int to, byte[] source, Random random) {
        int start = random.nextInt(source.length);
        int length = random.nextInt(Math.min(64, source.length - start) + 1);
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        out.write(bytes, 0, from);
        out.write(source, start, length);
        out.write(bytes, to, bytes.length - to);
        return out.size() == 0 ? new byte[1] : out.toByteArray();
    }

    private static void readTensors(TensorFile opened) {
        try (TensorFile file = opened) {
            for (TensorView tensor : file.tensors()) {
                assertThat(Floats.all(tensor).length).isEqualTo((int) tensor.elements());
                assertThat(file.find(tensor.name())).isPresent();
            }
        }
    }

    private static void readGguf(Path path) throws IOException {
        try (Gguf gguf = Gguf.open(path)) {
            List<Getter> getters = List.of(gguf::string, gguf::integer, gguf::floating, gguf::bool, gguf::strings, gguf::ints, gguf::floats);
            for (String key : gguf.keys()) {
                for (Getter getter : getters) {
                    try {
                        assertThat(getter.get(key)).isNotNull();
                    } catch (MalformedFileException e) {
                        assertThat(e).hasMessageContaining("metadata '");
                    }
                }
            }
            for (TensorView tensor : gguf.tensors()) {
                Floats.all(tensor);
            }
        }
    }
}
