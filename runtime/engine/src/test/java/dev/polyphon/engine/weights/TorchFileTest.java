package dev.polyphon.engine.weights;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class TorchFileTest {

    private static final Path GOLDEN = Path.of("src/test/resources/golden/adapters");

    /** Written by torch: src/test/python/make_torch_vectors.py. */
    private static final Path TORCH = Path.of("src/test/resources/weights/torch");

    @TempDir
    Path folder;

    @ParameterizedTest
    @ValueSource(strings = {"types", "types-protocol-4", "strided", "module", "parameters"})
    void readsWhatTorchWrites(String name) throws IOException {
        try (TorchFile torch = TorchFile.open(TORCH.resolve(name + ".bin")); SafeTensors safe = SafeTensors.open(TORCH.resolve(name + ".safetensors"))) {
            assertThat(torch.tensors()).hasSameSizeAs(safe.tensors());
            for (TensorView expected : safe.tensors()) {
                TensorView found = torch.find(expected.name()).orElseThrow();
                assertThat(found.describe()).as(expected.name()).isEqualTo(expected.describe());
                assertThat(found.data().mismatch(expected.data())).as(expected.name()).isEqualTo(-1);
            }
        }
    }

    @Test
    void readsAdaptersOfTheFirstReleases() throws IOException {
        try (TorchFile file = TorchFile.open(GOLDEN.resolve("legacy-bin-llama"))) {
            assertThat(file.tensors()).hasSize(8);
            TensorView a = file.find("base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight").orElseThrow();
            assertThat(a.describe()).isEqualTo("F16[8, 64]");
            assertThat(Floats.all(a)).startsWith(0.0780029296875f, 0.0019969940185546875f, -0.100341796875f).endsWith(-0.001148223876953125f);
        }
        try (TorchFile file = TorchFile.open(GOLDEN.resolve("legacy-bin-bloom"))) {
            assertThat(file.tensors()).isNotEmpty().allMatch(t -> t.rank() == 2);
        }
    }

    @Test
    void contiguousTensorsAreNotCopied() throws IOException {
        try (TorchFile file = TorchFile.open(TORCH.resolve("strided.bin"))) {
            TensorView whole = file.find("whole").orElseThrow();
            TensorView tail = file.find("tail").orElseThrow();
            assertThat(tail.data().address() - whole.data().address()).isEqualTo(3 * 5 * 6 * 4);
            assertThat(file.find("unit-dimensions").orElseThrow().data().address()).isEqualTo(whole.data().address());
        }
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {
        "code           | a reference to __builtin__.print; only tensors, their storages and dicts are read",
        "module         | a reference to torch.nn.modules.linear.Linear;",
        "uint16         | a reference to torch._utils._rebuild_tensor_v3;",
        "complex        | a reference to torch.ComplexFloatStorage;",
        "list           | opcode 0x5D, which no state dict needs",
        "tensor         | not a state dict: the pickle is a tensor",
        "nested         | not a state dict: 'model' is a dict, expected a tensor",
        "integer        | not a state dict: 'step' is an integer, expected a tensor",
        "repeated       | tensor 'a' F32[10000] with strides [0] repeats its elements",
        "before-1.6     | the format that torch had before 1.6",
    })
    void refusesOtherThingsThatTorchWrites(String name, String problem) {
        Path file = TORCH.resolve("refused-" + name + ".bin");
        assertThatThrownBy(() -> TorchFile.open(file)).isInstanceOf(MalformedFileException.class).hasMessageStartingWith(file + ": ")
                .hasMessageContaining(problem);
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void readsZipAndZip64(boolean zip64) throws IOException {
        byte[] zip = new TorchBuilder().code("\u0080\u0002}").string("a").tensor("0", 2, 1, new long[]{1}, new long[]{1}).code("s.")
                .entry("data/0", new byte[]{0, 0, 0, 0, 0, 0, (byte) 0x80, 0x3F}).entry("byteorder", "little".getBytes()).build(zip64);
        try (TorchFile file = TorchFile.open(Files.write(folder.resolve("a.bin"), zip))) {
            assertThat(Floats.all(file.find("a").orElseThrow())).containsExactly(1);
        }
    }

    @Test
    void saysWhatAFolderLacks() {
        assertThatThrownBy(() -> TorchFile.open(folder)).isInstanceOf(NoSuchFileException.class)
                .hasMessageContaining("adapter_model.bin, pytorch_model.bin");
    }

    @Test
    void refusesOtherFiles() throws IOException {
        refused(new byte[0], "not a complete zip file");
        refused("not a zip file at all, but long enough".getBytes(), "not a complete zip file");
        refused(new TorchBuilder().entry("readme", (byte) 1).build(), "not a file of torch: the zip has 0 entries like 'archive/data.pkl'");
        refused(TorchBuilder.single(4, 1, 0, new long[]{1}, new long[]{1}).method(8).build(), "zip entry 'archive/data.pkl' is compressed or encrypted");
        refused(TorchBuilder.single(4, 1, 0, new long[]{1}, new long[]{1}).entry("byteorder", "big".getBytes()).build(), "'byteorder'");
    }

    @Test
    void refusesTensorsOutsideTheirStorage() throws IOException {
        refused(new TorchBuilder().code("}").string("a").tensor("7", 1, 0, new long[]{1}, new long[]{1}).code("s.").build(),
                "tensor 'a': the zip has no entry 'data/7'");
        refused(TorchBuilder.single(7, 2, 0, new long[]{1}, new long[]{1}).build(), "storage '0' should have 2 elements of F32, but the entry has 7 bytes");
        refused(TorchBuilder.single(8, 2, 0, new long[]{3}, new long[]{1}).build(), "tensor 'a' with shape [3], strides [1] and offset 0 reaches outside");
        refused(TorchBuilder.single(8, 2, 2, new long[]{1}, new long[]{1}).build(), "reaches outside its storage of 2 elements");
        refused(TorchBuilder.single(8, 2, -1, new long[]{1}, new long[]{1}).build(), "reaches outside");
        refused(TorchBuilder.single(8, 2, 1, new long[]{2}, new long[]{-1}).build(), "reaches outside");
        refused(TorchBuilder.single(8, 2, 0, new long[]{2, 2}, new long[]{Long.MAX_VALUE, 1}).build(), "reaches outside");
        refused(TorchBuilder.single(8, 2, 0, new long[]{2, 1}, new long[]{1}).build(), "reaches outside");
        refused(TorchBuilder.single(8, 2, 0, new long[]{-2}, new long[]{1}).build(), "tensor 'a' has a dimension outside");
        refused(TorchBuilder.single(8, 2, 0, new long[]{1 << 30, 1 << 30}, new long[]{0, 0}).build(), "repeats its elements");
        long[] manyUnits = new long[1 << 16];
        Arrays.fill(manyUnits, 1);
        refused(TorchBuilder.single(8, 2, 0, manyUnits, manyUnits).build(), "tensor 'a' has 65536 dimensions, at most 64 are allowed");
    }

    @Test
    void refusesPicklesThatAreNotStateDicts() throws IOException {
        refusedPickle("cos\nsystem\n", "before byte 11, a reference to os.system");
        refusedPickle("\u0080\u0002\u008c\u0002os\u008c\u0006system\u0093", "a reference to os.system");
        refusedPickle("ctorch\nFloatStorage\n)R.", "a call of a storage type");
        refusedPickle("ccollections\nOrderedDict\n}R.", "arguments that is a dict");
        refusedPickle("}}R.", "arguments that is a dict");
        refusedPickle(")Q.", "a persistent object's kind is missing");
        refusedPickle("i", "opcode 0x69");
        refusedPickle("\u0080\u0001", "protocol 1, expected 2 to 5");
        refusedPickle("}(K\u0001u.", "a key without a value");
        refusedPickle("}(}K\u0001u.", "a dict key that is a dict");
        refusedPickle("}(K\u0001K\u0001K\u0001K\u0001u.", "the dict key '1' twice");
        refusedPickle("}K\u0001K\u0001s.", "the key 1 is not a string");
        refusedPickle("K\u0001K\u0001K\u0001s.", "an item's container that is an integer");
        refusedPickle("t", "items without a mark");
        refusedPickle("(.", "an empty stack");
        refusedPickle("(q\u0000", "an empty stack");
        refusedPickle("h\u0005", "memo entry 5, which is not set");
        refusedPickle("K\u0001.", "the pickle is an integer");
        refusedPickle("}", "the pickle needs 1 bytes");
        refusedPickle("X\u00ff\u00ff\u00ff\u007f", "a pickled string needs 2147483647 bytes");
        refusedPickle("\u008a\u0009", "an integer of 9 bytes");
        refusedPickle("c" + "x".repeat(1000), "a global's name longer than 200");
        refusedPickle("}q\u0000X\u0001\u0000\u0000\u0000ah\u0000s.", "'a' is a dict, expected a tensor");
        refusedPickle("}" + "N".repeat(3_000_000), "more than 2000000 opcodes");
    }

    private void refusedPickle(String opcodes, String problem) throws IOException {
        refused(new TorchBuilder().code(opcodes).build(), problem);
    }

    private void refused(byte[] bytes, String problem) throws IOException {
        Path file = Files.write(folder.resolve("bad.bin"), bytes);
        assertThatThrownBy(() -> TorchFile.open(file).close()).isInstanceOf(MalformedFileException.class).hasMessageStartingWith(file + ": ")
                .hasMessageContaining(problem);
    }
}
