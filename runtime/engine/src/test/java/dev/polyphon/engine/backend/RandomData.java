package dev.polyphon.engine.backend;

import dev.polyphon.engine.weights.DType;
import dev.polyphon.engine.weights.TensorView;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Random;

/** Random matrices of any element type, in native memory as a file's mapping would have them. */
public final class RandomData {
    private RandomData() {}

    /** Values of about unit variance divided by √in, as trained matrices have them. */
    public static TensorView matrix(Arena arena, DType type, int out, int in, Random random) {
        long bytes = type.bytes((long) out * in);
        MemorySegment data = arena.allocate(Math.max(1, bytes), 1).asSlice(0, bytes);
        float scale = (float) (1 / Math.sqrt(Math.max(1, in)));
        for (long at = 0; at < bytes; at += type.blockBytes()) {
            fill(data, type, at, scale, random);
        }
        return new TensorView("random." + type, type, new long[] {out, in}, data);
    }

    private static void fill(MemorySegment data, DType type, long at, float scale, Random random) {
        float value = (float) random.nextGaussian() * scale;
        switch (type) {
            case F64 -> data.set(ValueLayout.JAVA_DOUBLE_UNALIGNED, at, value);
            case F32 -> data.set(ValueLayout.JAVA_FLOAT_UNALIGNED, at, value);
            case F16 -> half(data, at, value);
            case BF16 -> data.set(ValueLayout.JAVA_SHORT_UNALIGNED, at, (short) (Float.floatToRawIntBits(value) >> 16));
            default -> {
                byte[] block = new byte[type.blockBytes()];
                random.nextBytes(block);
                MemorySegment.copy(block, 0, data, ValueLayout.JAVA_BYTE, at, block.length);
                switch (type) {
                    case Q8_0 -> half(data, at, scale / 73 * (0.5f + random.nextFloat()));
                    case Q4_0 -> half(data, at, scale / 4.6f * (0.5f + random.nextFloat()));
                    case Q4_1 -> {
                        half(data, at, scale / 4.6f * (0.5f + random.nextFloat()));
                        half(data, at + 2, -1.6f * scale);
                    }
                    case Q4_K, Q5_K -> {
                        half(data, at, scale / (type == DType.Q4_K ? 150 : 300));
                        half(data, at + 2, scale / 20);
                    }
                    case Q6_K -> half(data, at + 208, scale / 18 / 73);
                    default -> throw new IllegalArgumentException("no random " + type);
                }
            }
        }
    }

    private static void half(MemorySegment data, long at, float value) {
        data.set(ValueLayout.JAVA_SHORT_UNALIGNED, at, Float.floatToFloat16(value));
    }

    public static float[] gaussian(int n, Random random) {
        float[] values = new float[n];
        for (int i = 0; i < n; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return values;
    }

    /** A tensor of those kernels with these values. */
    public static Tensor tensor(Kernels kernels, int rows, int columns, float[] values) {
        Tensor t = kernels.tensor(rows, columns);
        kernels.write(t, 0, rows, values);
        return t;
    }

    /** All values of a tensor. */
    public static float[] values(Kernels kernels, Tensor t) {
        float[] values = new float[t.rows() * t.columns()];
        kernels.read(t, 0, t.rows(), values);
        return values;
    }
}
