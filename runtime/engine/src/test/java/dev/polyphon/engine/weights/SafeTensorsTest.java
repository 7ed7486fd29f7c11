package dev.polyphon.engine.weights;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class SafeTensorsTest {

    private static final Path GOLDEN = Path.of("src/test/resources/golden");

    @TempDir
    Path folder;

    @Test
    void readsEveryReferenceFile() throws IOException {
        List<Path> files;
        try (Stream<Path> walk = Files.walk(GOLDEN)) {
            files = walk.filter(f -> f.toString().endsWith(".safetensors")).toList();
        }
        assertThat(files).hasSizeGreaterThan(100);
        for (Path file : files) {
            try (SafeTensors tensors = SafeTensors.open(file)) {
                assertThat(tensors.tensors()).as(file.toString()).isNotEmpty();
            }
        }
    }

    @Test
    void readsAnAdapterFolder() throws IOException {
        try (SafeTensors tensors = SafeTensors.open(GOLDEN.resolve("adapters/lora-llama"))) {
            assertThat(tensors.metadata()).containsEntry("format", "pt");
            TensorView tensor = tensors.find("base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight").orElseThrow();
            assertThat(tensor.dtype()).isEqualTo(DType.F32);
            assertThat(tensor.rank()).isEqualTo(2);
            assertThat(Floats.all(tensor)).hasSize(tensor.dim(0) * tensor.dim(1)).doesNotContain(Float.NaN);
        }
    }

    @Test
    void readsValues() throws IOException {
        Path file = write("a.safetensors", "{\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[1,9]},"
                + "\"a\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]},\"none\":{\"dtype\":\"I64\",\"shape\":[0,3],\"data_offsets\":[9,9]},"
                + "\"__metadata__\":{\"who\":\"me\"}}   ", 7, 0, 0, 0x80, 0x3F, 0, 0, 0, 0xC0);
        try (SafeTensors tensors = SafeTensors.open(file)) {
            assertThat(Floats.all(tensors.find("b").orElseThrow())).containsExactly(1, -2);
            assertThat(Floats.all(tensors.find("a").orElseThrow())).containsExactly(7);
            assertThat(Floats.all(tensors.find("none").orElseThrow())).isEmpty();
            assertThat(tensors.metadata()).containsExactly(Map.entry("who", "me"));
            assertThat(tensors.tensors()).extracting(TensorView::name).containsExactly("b", "a", "none");
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL"})
    void readsEveryType(String dtype) throws IOException {
        int size = DType.valueOf(dtype).blockBytes();
        Path file = write("a.safetensors", entry("t", dtype, "[3]", 0, 3 * size), new int[3 * size]);
        try (SafeTensors tensors = SafeTensors.open(file)) {
            assertThat(tensors.find("t").orElseThrow().describe()).isEqualTo(dtype + "[3]");
        }
    }

    @Test
    void readsShards() throws IOException {
        write("s1.safetensors", entry("a", "U8", "[1]", 0, 1), 1);
        write("s2.safetensors", entry("b", "U8", "[1]", 0, 1), 2);
        Path index = folder.resolve("model.safetensors.index.json");
        Files.writeString(index, "{\"metadata\":{\"total_size\":2,\"x\":[{}]},\"weight_map\":{\"a\":\"s1.safetensors\",\"b\":\"s2.safetensors\"}}");
        for (Path path : List.of(folder, index)) {
            try (SafeTensors tensors = SafeTensors.open(path)) {
                assertThat(Floats.all(tensors.find("a").orElseThrow())).containsExactly(1);
                assertThat(Floats.all(tensors.find("b").orElseThrow())).containsExactly(2);
            }
        }
    }

    @Test
    void refusesBadShards() throws IOException {
        write("s1.safetensors", entry("a", "U8", "[1]", 0, 1), 1);
        write("s2.safetensors", entry("a", "U8", "[1]", 0, 1), 1);
        Path index = folder.resolve("model.safetensors.index.json");
        refusedIndex(index, "[]", "the index: expected an object, found an array");
        refusedIndex(index, "{\"metadata\":{}}", "the index has no weight_map");
        refusedIndex(index, "{\"weight_map\":{\"a\":1}}", "weight_map 'a': expected a string, found an integer");
        refusedIndex(index, "{\"weight_map\":{\"a\":\"../s1.safetensors\"}}", "the shard name '../s1.safetensors' is not a plain file name");
        refusedIndex(index, "{\"weight_map\":{\"a\":\"s3.safetensors\"}}", "the shard s3.safetensors is missing");
        refusedIndex(index, "{\"weight_map\":{\"b\":\"s1.safetensors\"}}", "tensor 'b' is not in its shard s1.safetensors");
        refusedIndex(index, "{\"weight_map\":{\"a\":\"s1.safetensors\",\"b\":\"s2.safetensors\"}}", "tensor 'a' is in another shard as well");
        refusedIndex(index, "{\"weight_map\":{\"a\":\"s1.safetensors\"", "the index is not valid JSON");
    }

    @Test
    void saysWhatAFolderLacks() {
        assertThatThrownBy(() -> SafeTensors.open(folder)).isInstanceOf(NoSuchFileException.class)
                .hasMessageContaining("model.safetensors.index.json, adapter_model.safetensors");
    }

    @Test
    void refusesBadHeaders() throws IOException {
        refused(new byte[3], "the header size needs 8 bytes at byte 0, but only 3 are left");
        refused(file(-1, "{}"), "the header size is 18446744073709551615, at most 100000000 are allowed");
        refused(file(100_000_001, "{}"), "the header size is 100000001, at most");
        refused(file(3, "{}"), "the header needs 3 bytes at byte 8, but only 2 are left");
        refused(file(0, ""), "the header does not start with '{'");
        refusedHeader(" {}", "the header does not start with '{'");
        refusedHeader("{", "the header is not valid JSON");
        refusedHeader("{}x", "the header is not valid JSON");
        refusedHeader("{\"\u00e9\"", "the header is not valid JSON: invalid UTF-8");
        refusedHeader("{\0\0\0}\0\0\0", "the header is not valid JSON");
        refusedHeader("{}[]", "the end of the header: expected the end, found an array");
        refusedHeader("{\"__metadata__\":{\"a\":1}}", "__metadata__ 'a': expected a string, found an integer");
        refusedHeader("{\"a\":[]}", "tensor 'a': expected an object, found an array");
        refusedHeader("{\"a\":{\"dtype\":\"F32\"}}", "tensor 'a' needs dtype, shape and data_offsets");
        refusedHeader("{\"a\":{\"shape\":[1.5]}}", "tensor 'a' shape: expected an integer, found a fraction");
        refusedHeader("{\"a\":{\"shape\":[99999999999999999999]}}", "the header is not valid JSON: Numeric value");
    }

    @Test
    void refusesBadTensors() throws IOException {
        refusedHeader(entry("a", "F8_E4M3", "[1]", 0, 1), "tensor 'a' has dtype F8_E4M3, expected one of F64, F32");
        refusedHeader(entry("a", "U8", "[1]", 0, 2), "tensor 'a' is U8[1] and needs 1 bytes, but its data_offsets [0, 2] give 2", 0, 0);
        refusedHeader(entry("a", "U8", "[1]", 0, 1), "tensor 'a' has data_offsets [0, 1], but the file has 0 bytes of data");
        refusedHeader(entry("a", "U8", "[1]", 1, 0), "tensor 'a' has data_offsets [1, 0], but", 0);
        refusedHeader(entry("a", "U8", "[-1]", 0, 1), "tensor 'a' has a dimension outside 0 to 2147483647: [-1]", 0);
        refusedHeader(entry("a", "U8", "[2147483647,2147483647,2147483647,0]", 0, 0), "tensor 'a' is too large");
        refusedHeader(entry("a", "U8", "[1]", 0, 1), "the tensors end at byte 1 of the data, which has 2 bytes", 0, 0);
        refusedHeader(entry("a", "U8", "[1]", 1, 2), "bytes 0 to 1 of the data, before tensor 'a', belong to no tensor", 0, 0);
        String a = "\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}";
        String b = "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}";
        refusedHeader("{" + a + "," + b + "}", "tensors 'a' (bytes 0 to 2) and 'b' (bytes 1 to 3) overlap", 0, 0, 0);
        refusedHeader("{" + a + "," + a + "}", "tensor 'a' appears twice", 0, 0);
    }

    @Test
    void boundsWhatAHeaderMakes() throws IOException {
        refusedHeader(entry("a", "U8", "[" + "1,".repeat(64) + "1]", 0, 1), "more than 64 numbers in tensor 'a' shape", 0);
        StringBuilder tensors = new StringBuilder();
        StringBuilder strings = new StringBuilder();
        for (int i = 0; i <= 250_000; i++) {
            tensors.append(i == 0 ? '{' : ',').append('"').append(i).append("\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}");
            strings.append(i == 0 ? '{' : ',').append('"').append(i).append("\":\"\"");
        }
        refusedHeader(tensors + "}", "more than 250000 tensors");
        refusedHeader("{\"__metadata__\":" + strings + "}}", "more than 100000 entries in __metadata__");
    }

    private static String entry(String name, String dtype, String shape, long begin, long end) {
        return "{\"%s\":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":[%d,%d]}}".formatted(name, dtype, shape, begin, end);
    }

    private static byte[] file(long headerSize, String header, int... data) {
        byte[] text = header.getBytes(StandardCharsets.ISO_8859_1);
        ByteBuffer bytes = ByteBuffer.allocate(8 + text.length + data.length).order(ByteOrder.LITTLE_ENDIAN).putLong(headerSize).put(text);
        for (int b : data) {
            bytes.put((byte) b);
        }
        return bytes.array();
    }

    private Path write(String name, String header, int... data) throws IOException {
        return Files.write(folder.resolve(name), file(header.length(), header, data));
    }

    private void refusedIndex(Path index, String json, String problem) throws IOException {
        Files.writeString(index, json);
        assertThatThrownBy(() -> SafeTensors.open(folder).close()).isInstanceOf(MalformedFileException.class).hasMessageContaining(problem);
    }

    private void refusedHeader(String header, String problem, int... data) throws IOException {
        refused(file(header.length(), header, data), problem);
    }

    private void refused(byte[] bytes, String problem) throws IOException {
        Path file = Files.write(folder.resolve("bad.safetensors"), bytes);
        assertThatThrownBy(() -> SafeTensors.open(file).close()).isInstanceOf(MalformedFileException.class).hasMessageStartingWith(file + ": ")
                .hasMessageContaining(problem);
    }
}
