package dev.polyphon.engine.weights;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class FloatsTest {

    /** Random blocks of every kind beside their values by the PyPI package gguf: src/test/python/make_weights_vectors.py. */
    private static final Path BLOCKS = Path.of("src/test/resources/weights/blocks.gguf");

    @ParameterizedTest
    @ValueSource(strings = {"f64", "f32", "f16", "bf16", "i64", "i32", "i16", "i8", "q8_0", "q4_0", "q4_1", "q5_0", "q4_k", "q5_k", "q6_k"})
    void agreesWithTheReferenceToTheBit(String name) throws IOException {
        try (Gguf gguf = Gguf.open(BLOCKS)) {
            TensorView tensor = gguf.find(name).orElseThrow();
            assertThat(tensor.dtype().toString()).isEqualToIgnoringCase(name.equals("q5_0") ? "q8_0" : name);
            float[] expected = Floats.all(gguf.find(name + ".expected").orElseThrow());
            assertThat(bits(Floats.all(tensor))).isEqualTo(bits(expected));
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"f32", "f16", "q4_1", "q6_k"})
    void readsAnyRange(String name) throws IOException {
        try (Gguf gguf = Gguf.open(BLOCKS)) {
            TensorView tensor = gguf.find(name).orElseThrow();
            float[] all = Floats.all(tensor);
            for (int first = 0; first < all.length; first += 97) {
                for (int count : new int[]{0, 1, 31, 33, 300}) {
                    count = Math.min(count, all.length - first);
                    float[] target = new float[count + 2];
                    Floats.read(tensor, first, target, 1, count);
                    assertThat(bits(Arrays.copyOfRange(target, 1, 1 + count))).isEqualTo(bits(Arrays.copyOfRange(all, first, first + count)));
                    assertThat(target[0]).isZero();
                    assertThat(target[count + 1]).isZero();
                }
            }
        }
    }

    @Test
    void refusesRangesOutside() {
        TensorView tensor = new TensorView("t", DType.F32, new long[]{2}, MemorySegment.ofArray(new byte[8]));
        assertThatThrownBy(() -> Floats.read(tensor, 1, new float[2], 0, 2)).isInstanceOf(IndexOutOfBoundsException.class);
        assertThatThrownBy(() -> Floats.read(tensor, 0, new float[2], 1, 2)).isInstanceOf(IndexOutOfBoundsException.class);
        assertThatThrownBy(() -> Floats.read(tensor, -1, new float[2], 0, 1)).isInstanceOf(IndexOutOfBoundsException.class);
    }

    @Test
    void convertsUnsignedBytesAndBools() {
        MemorySegment data = MemorySegment.ofArray(new byte[]{0, 1, 2, -1});
        assertThat(Floats.all(new TensorView("t", DType.U8, new long[]{4}, data))).containsExactly(0, 1, 2, 255);
        assertThat(Floats.all(new TensorView("t", DType.BOOL, new long[]{4}, data))).containsExactly(0, 1, 1, 1);
    }

    private static int[] bits(float[] values) {
        int[] bits = new int[values.length];
        Arrays.setAll(bits, i -> Float.floatToRawIntBits(values[i]));
        return bits;
    }
}
