package dev.polyphon.engine.backend.cpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.polyphon.engine.backend.cpu.TileCode.Floats;
import dev.polyphon.engine.backend.cpu.TileCode.Vectors;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** Every tile for every kind of vectors that the processor has, whichever the kernels use, against its sums written out in plain Java: the same bits. */
class TileCodeTest {
    private final Random random = new Random(3);

    private static List<Vectors> supported() {
        List<Vectors> supported = MachineTiles.supported();
        assumeTrue(!supported.isEmpty(), "the processor does not have the instructions, or the system does not allow code written at run time");
        return supported;
    }

    private static void call(byte[] code, long... arguments) {
        long[] a = Arrays.copyOf(arguments, 8);
        MachineCode.of(code)[0].call(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7]);
    }

    private void fillFloats(long at, long count) {
        for (long i = 0; i < count; i++) {
            Lanes.set(at + 4 * i, (float) random.nextGaussian());
        }
    }

    private float[] floats(long at, int count) {
        float[] values = new float[count];
        Lanes.read(at, values, 0, count);
        return values;
    }

    @Test
    void words() {
        for (Vectors vectors : supported()) {
            for (int kind = 0; kind < 16; kind++) {
                for (int rows = 1; rows <= vectors.mostWordRows(); rows++) {
                    words(vectors, rows, (kind & 1) == 0 ? 32 : 16, (kind & 2) != 0, (kind & 4) != 0, (kind & 8) != 0);
                }
            }
        }
    }

    private void words(Vectors vectors, int rows, int group, boolean nibbles, boolean minima, boolean ahead) {
        int steps = 3;
        int tiles = 2;
        int all = tiles * rows;
        int columns = steps * QuantisedRows.COLUMNS;
        int width = 2 * vectors.lanes();
        int scaleRows = columns / group * (minima ? 2 : 1);
        // Room between the records of a step and the next, as where only some of the rows are asked for.
        long stepBytes = (all + 3L) * QuantisedRows.RECORD;
        try (NativeMemory elements = new NativeMemory((long) columns * width); NativeMemory scales = new NativeMemory(4L * scaleRows * width);
                NativeMemory x = new NativeMemory(steps * stepBytes); NativeMemory sums = new NativeMemory(4L * all * width);
                NativeMemory blocks = new NativeMemory(8L * steps * tiles)) {
            for (long i = 0; i < (long) columns * width; i++) {
                Lanes.setByte(elements.address() + i, random.nextInt(256));
            }
            fillFloats(scales.address(), (long) scaleRows * width);
            fillFloats(sums.address(), (long) all * width);
            for (int r = 0; r < all; r++) {
                for (int step = 0; step < steps; step++) {
                    long record = x.address() + step * stepBytes + (long) r * QuantisedRows.RECORD;
                    for (int k = 0; k < QuantisedRows.COLUMNS; k++) {
                        Lanes.setShort(record + 2L * k, (short) (random.nextInt(65535) - 32767));
                    }
                    fillFloats(record + QuantisedRows.SCALE, 2);
                }
            }
            for (int i = 0; i < steps * tiles; i++) {
                Lanes.setLong(blocks.address() + 8L * i, elements.address());
            }
            float[] expected = floats(sums.address(), all * width);
            for (int r = 0; r < all; r++) {
                for (int j = 0; j < width; j++) {
                    for (int g = 0; g < columns / group; g++) {
                        long record = x.address() + g * group / QuantisedRows.COLUMNS * stepBytes + (long) r * QuantisedRows.RECORD;
                        int products = 0;
                        for (int k = g * group; k < (g + 1) * group; k++) {
                            products += element(elements.address(), vectors, nibbles, k, j) * Lanes.getShort(record + 2L * (k % QuantisedRows.COLUMNS));
                        }
                        long scale = scales.address() + 4L * ((long) g * (minima ? 2 : 1) * width + j);
                        float sum = Math.fma(products * Lanes.get(record + QuantisedRows.SCALE), Lanes.get(scale), expected[r * width + j]);
                        expected[r * width + j] = minima ? Math.fma(Lanes.get(scale + 4L * width), Lanes.get(record + QuantisedRows.SUM), sum) : sum;
                    }
                }
            }
            call(TileCode.words(vectors, rows, group, nibbles, minima, ahead), elements.address(), scales.address(), x.address(), stepBytes,
                    sums.address(), steps, tiles, ahead ? blocks.address() : 0);
            assertThat(floats(sums.address(), all * width)).as("%s, %d rows, groups of %d, nibbles %s, minima %s", vectors, rows, group, nibbles, minima)
                    .containsExactly(expected);
        }
    }

    private static int element(long elements, Vectors vectors, boolean nibbles, int column, int j) {
        int lanes = vectors.lanes();
        if (!nibbles) {
            return Lanes.getByte(elements + ((long) column / 2 * 2 * lanes + j) * 2 + column % 2);
        }
        return Lanes.getUnsignedByte(elements + ((long) column / 2 * lanes + j % lanes) * 2 + column % 2) >> j / lanes * 4 & 15;
    }

    @Test
    void floats() {
        for (Vectors vectors : supported()) {
            for (Floats type : Floats.values()) {
                for (int rows = 1; rows <= vectors.mostFloatRows(); rows++) {
                    floats(vectors, type, rows, TileCode.FLOAT_STEP, false);
                    floats(vectors, type, rows, TileCode.FLOAT_STEP, true);
                    floats(vectors, type, rows, 1, false);
                    floats(vectors, type, rows, 1, true);
                }
            }
        }
    }

    private void floats(Vectors vectors, Floats type, int rows, int columns, boolean pairs) {
        int steps = 3;
        int in = steps * columns * (pairs ? 2 : 1);
        int lanes = vectors.lanes();
        int width = 2 * lanes;
        int elements = steps * columns * width;
        long xBytes = 4L * in + 64;
        try (NativeMemory w = new NativeMemory((long) elements * type.bytes()); NativeMemory x = new NativeMemory(rows * xBytes);
                NativeMemory sums = new NativeMemory(4L * rows * width)) {
            float[] plain = put(w.address(), type, elements);
            fillFloats(x.address(), rows * xBytes / 4);
            fillFloats(sums.address(), (long) rows * width);
            float[] expected = floats(sums.address(), rows * width);
            for (int r = 0; r < rows; r++) {
                for (int j = 0; j < width; j++) {
                    for (int k = 0; k < steps * columns; k++) {
                        int column = pairs ? 2 * k + j / lanes : k;
                        expected[r * width + j] = Math.fma(plain[k * width + j], Lanes.get(x.address() + r * xBytes + 4L * column), expected[r * width + j]);
                    }
                }
            }
            call(TileCode.floats(vectors, rows, type, columns, pairs), w.address(), 0, x.address(), xBytes, sums.address(), steps);
            assertThat(floats(sums.address(), rows * width)).as("%s, %s, %d rows, pairs %s", vectors, type, rows, pairs).containsExactly(expected);
        }
    }

    /** Random elements. @return what they stand for */
    private float[] put(long to, Floats type, int count) {
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            float value = (float) random.nextGaussian();
            switch (type) {
                case F32 -> Lanes.set(to + 4L * i, value);
                case F16 -> {
                    Lanes.setShort(to + 2L * i, Float.floatToFloat16(value));
                    value = Float.float16ToFloat(Float.floatToFloat16(value));
                }
                case BF16 -> {
                    int bits = Float.floatToRawIntBits(value) & 0xFFFF0000;
                    Lanes.setShort(to + 2L * i, (short) (bits >> 16));
                    value = Float.intBitsToFloat(bits);
                }
            }
            values[i] = value;
        }
        return values;
    }

    @Test
    void rowDeltas() {
        for (Vectors vectors : supported()) {
            for (Floats type : Floats.values()) {
                rowDeltas(vectors, type);
            }
        }
    }

    /** Two deltas of ranks 8 and 24 on four panels, of which the middle two are asked for. */
    private void rowDeltas(Vectors vectors, Floats type) {
        int width = 2 * vectors.lanes();
        int panels = 4;
        int[] ranks = {8, 24};
        try (NativeMemory table = new NativeMemory(2L * RowDelta.BYTES); NativeMemory b = new NativeMemory(2L * panels * width * 24 * type.bytes());
                NativeMemory input = new NativeMemory(2 * 4 * 24); NativeMemory out = new NativeMemory(2L * panels * 4 * width)) {
            fillFloats(input.address(), 2 * 24);
            fillFloats(out.address(), 2L * panels * width);
            float[] elements = put(b.address(), type, 2 * panels * width * 24);
            float[] expected = floats(out.address(), 2 * panels * width);
            for (int entry = 0; entry < 2; entry++) {
                int rank = ranks[entry];
                int first = entry * panels * width * 24;
                long at = table.address() + (long) entry * RowDelta.BYTES;
                Lanes.setLong(at + RowDelta.B, b.address() + (long) first * type.bytes());
                Lanes.setLong(at + RowDelta.PANEL_BYTES, (long) rank * width * type.bytes());
                Lanes.setLong(at + RowDelta.INPUT, input.address() + entry * 4 * 24);
                Lanes.setLong(at + RowDelta.OUT, out.address() + (long) entry * panels * 4 * width);
                Lanes.setLong(at + RowDelta.STEPS, rank / RowDelta.COLUMNS);
                for (int j = width; j < 3 * width; j++) {
                    for (int k = 0; k < rank; k++) {
                        int place = entry * panels * width + j;
                        float weight = elements[first + (j / width * rank + k) * width + j % width];
                        expected[place] = Math.fma(weight, Lanes.get(input.address() + 4L * (entry * 24 + k)), expected[place]);
                    }
                }
            }
            call(TileCode.rowDeltas(vectors, type), table.address(), 2, 1, 2);
            assertThat(floats(out.address(), 2 * panels * width)).as("%s, %s", vectors, type).containsExactly(expected);
        }
    }

    @Test
    void softmax() {
        for (Vectors vectors : supported()) {
            try (NativeMemory constants = SoftmaxCode.constants(vectors)) {
                for (int count = 1; count <= 5; count++) {
                    softmax(vectors, constants, count, 1);
                    softmax(vectors, constants, count, 40);
                }
            }
        }
    }

    private void softmax(Vectors vectors, NativeMemory constants, int count, float spread) {
        int lanes = vectors.lanes();
        int length = count * lanes;
        float factor = 0.125f * spread;
        try (NativeMemory values = new NativeMemory(4L * length)) {
            fillFloats(values.address(), length);
            Lanes.set(values.address() + 4L * (length - 1), Float.NEGATIVE_INFINITY);
            float[] expected = floats(values.address(), length);
            float max = Float.NEGATIVE_INFINITY;
            for (int i = 0; i < length; i++) {
                expected[i] *= factor;
                max = Math.max(max, expected[i]);
            }
            float[] sums = new float[lanes];
            for (int i = 0; i < length; i++) {
                expected[i] = exp(expected[i] - max);
                sums[i % lanes] += expected[i];
            }
            for (int n = lanes / 2; n > 0; n /= 2) {
                for (int i = 0; i < n; i++) {
                    sums[i] += sums[i + n];
                }
            }
            for (int i = 0; i < length; i++) {
                expected[i] *= 1 / sums[0];
            }
            call(SoftmaxCode.write(vectors), values.address(), count, constants.address(), Float.floatToRawIntBits(factor));
            assertThat(floats(values.address(), length)).as("%s, %d vectors", vectors, count).containsExactly(expected);
        }
    }

    /** What {@link VectorMath#exp} says, which is held to it. */
    private static float exp(float x) {
        float held = Math.min(Math.max(x, VectorMath.LEAST), VectorMath.MOST);
        float shifted = Math.fma(held, VectorMath.LOG2_E, VectorMath.ROUND);
        float n = shifted - VectorMath.ROUND;
        float r = Math.fma(n, -VectorMath.LN2_LOW, Math.fma(n, -VectorMath.LN2_HIGH, held));
        float p = VectorMath.EXP[0];
        for (int i = 1; i < VectorMath.EXP.length; i++) {
            p = Math.fma(p, r, VectorMath.EXP[i]);
        }
        float exp = Float.intBitsToFloat(Float.floatToRawIntBits(Math.fma(p, r * r, r) + 1) + (Float.floatToRawIntBits(shifted) << 23));
        assertThat(VectorMath.exp(Lanes.all(x)).lane(0)).isEqualTo(exp);
        return exp;
    }
}
