package dev.polyphon.engine.merge;

import dev.polyphon.engine.weights.DType;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/** Writes f32 values in the types that merged weights may be kept in. */
public final class Encoding {
    private static final ValueLayout.OfFloat FLOAT = ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfShort SHORT = ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    /** The largest value of F16. */
    static final float MOST_HALF = 65504;

    private Encoding() {}

    /** The type itself, or F16 where rows of such a width are not whole blocks of it. */
    public static DType fitting(DType type, int width) {
        return width % type.blockSize() == 0 ? type : DType.F16;
    }

    /**
     * The type that loses nothing that matters of a matrix to which something small is added: F32 for F32, and F16 for all others. Of the quantised types it
     * cannot be the base's own, since their steps are as large as what adapters add; nor can it be BF16, which has 8 bits where F16 has 11.
     */
    public static DType keeping(DType base) {
        return base == DType.F32 || base == DType.F64 ? DType.F32 : DType.F16;
    }

    /** Writes the first {@code count} values, whole blocks, from a byte on. */
    public static void write(DType type, float[] values, int count, MemorySegment to, long at) {
        switch (type) {
            case F32 -> MemorySegment.copy(values, 0, to, FLOAT, at, count);
            case F16 -> {
                for (int i = 0; i < count; i++) {
                    to.set(SHORT, at + 2L * i, Float.floatToFloat16(Math.clamp(values[i], -MOST_HALF, MOST_HALF)));
                }
            }
            case BF16 -> {
                for (int i = 0; i < count; i++) {
                    to.set(SHORT, at + 2L * i, brain(values[i]));
                }
            }
            case Q8_0 -> {
                for (int block = 0; block < count / 32; block++) {
                    q8(values, 32 * block, to, at + 34L * block);
                }
            }
            default -> throw new IllegalArgumentException("merged weights are kept in F32, F16, BF16 or Q8_0, not in " + type);
        }
    }

    /** To the nearest, ties to even. */
    private static short brain(float value) {
        int bits = Float.floatToRawIntBits(value);
        return (short) (bits + 0x7FFF + (bits >>> 16 & 1) >>> 16);
    }

    /** A scale and 32 signed bytes, as GGML's reference has it. */
    private static void q8(float[] values, int from, MemorySegment to, long at) {
        float most = 0;
        for (int i = 0; i < 32; i++) {
            most = Math.max(most, Math.abs(values[from + i]));
        }
        float scale = most / 127;
        float inverse = scale == 0 ? 0 : 1 / scale;
        to.set(SHORT, at, Float.floatToFloat16(scale));
        for (int i = 0; i < 32; i++) {
            to.set(ValueLayout.JAVA_BYTE, at + 2 + i, (byte) Math.round(values[from + i] * inverse));
        }
    }
}
