package dev.polyphon.engine.weights;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Objects;

/**
 * Tensor elements as {@code float}s, one at a time and exactly as GGML's reference defines them: each product and sum rounded to float, none
 * fused. Integers and doubles are rounded to the nearest float; a bool is 0 or 1.
 *
 * <p>Kernels are measured against this; it is fast enough for adapters, norms and biases, not for a base model's matrices.
 */
public final class Floats {

    private Floats() {}

    /** All elements in row-major order; fails if there are more than an array holds. */
    public static float[] all(TensorView view) {
        if (view.elements() > Integer.MAX_VALUE - 8) {
            throw new IllegalArgumentException("tensor " + view.name() + " " + view.describe() + " does not fit a float[]");
        }
        float[] values = new float[(int) view.elements()];
        read(view, 0, values, 0, values.length);
        return values;
    }

    /**
     * Reads {@code count} elements, row-major from {@code firstElement} on, into {@code target[at..at + count)}.
     *
     * @throws IndexOutOfBoundsException if either range does not exist
     */
    public static void read(TensorView view, long firstElement, float[] target, int at, int count) {
        Objects.checkFromIndexSize(firstElement, count, view.elements());
        Objects.checkFromIndexSize(at, count, target.length);
        MemorySegment data = view.data();
        switch (view.dtype()) {
            case F32 -> MemorySegment.copy(data, Cursor.FLOAT, firstElement * 4, target, at, count);
            case F16 -> {
                for (int i = 0; i < count; i++) {
                    target[at + i] = half(data, (firstElement + i) * 2);
                }
            }
            case BF16 -> {
                for (int i = 0; i < count; i++) {
                    target[at + i] = Float.intBitsToFloat(data.get(Cursor.SHORT, (firstElement + i) * 2) << 16);
                }
            }
            case F64 -> {
                for (int i = 0; i < count; i++) {
                    target[at + i] = (float) data.get(Cursor.DOUBLE, (firstElement + i) * 8);
                }
            }
            case I64 -> {
                for (int i = 0; i < count; i++) {
                    target[at + i] = data.get(Cursor.LONG, (firstElement + i) * 8);
                }
            }
            case I32 -> {
                for (int i = 0; i < count; i++) {
                    target[at + i] = data.get(Cursor.INT, (firstElement + i) * 4);
                }
            }
            case I16 -> {
                for (int i = 0; i < count; i++) {
                    target[at + i] = data.get(Cursor.SHORT, (firstElement + i) * 2);
                }
            }
            case I8 -> {
                for (int i = 0; i < count; i++) {
                    target[at + i] = int8(data, firstElement + i);
                }
            }
            case U8 -> {
                for (int i = 0; i < count; i++) {
                    target[at + i] = uint8(data, firstElement + i);
                }
            }
            case BOOL -> {
                for (int i = 0; i < count; i++) {
                    target[at + i] = int8(data, firstElement + i) == 0 ? 0 : 1;
                }
            }
            case Q8_0, Q4_0, Q4_1, Q4_K, Q5_K, Q6_K -> readBlocks(view, firstElement, target, at, count);
        }
    }

    private static void readBlocks(TensorView view, long firstElement, float[] target, int at, int count) {
        DType dtype = view.dtype();
        int size = dtype.blockSize();
        float[] block = new float[size];
        int done = 0;
        while (done < count) {
            long element = firstElement + done;
            int skipped = (int) (element % size);
            int taken = Math.min(size - skipped, count - done);
            readBlock(dtype, view.data(), element / size * dtype.blockBytes(), block);
            System.arraycopy(block, skipped, target, at + done, taken);
            done += taken;
        }
    }

    /** Block layouts: GGML's {@code block_q*} structures; formulas: its {@code dequantize_row_*} reference functions. */
    private static void readBlock(DType dtype, MemorySegment data, long block, float[] y) {
        switch (dtype) {
            case Q8_0 -> q80(data, block, y);
            case Q4_0 -> q40(data, block, y);
            case Q4_1 -> q41(data, block, y);
            case Q4_K -> q4k(data, block, y);
            case Q5_K -> q5k(data, block, y);
            case Q6_K -> q6k(data, block, y);
            default -> throw new AssertionError(dtype);
        }
    }

    /** f16 d, i8 q[32]. */
    private static void q80(MemorySegment data, long block, float[] y) {
        float d = half(data, block);
        for (int i = 0; i < 32; i++) {
            y[i] = int8(data, block + 2 + i) * d;
        }
    }

    /** f16 d, u4 q[32]: element i in the low half of byte i, element i + 16 in its high half. */
    private static void q40(MemorySegment data, long block, float[] y) {
        float d = half(data, block);
        for (int i = 0; i < 16; i++) {
            int q = uint8(data, block + 2 + i);
            y[i] = ((q & 0xF) - 8) * d;
            y[i + 16] = ((q >> 4) - 8) * d;
        }
    }

    /** f16 d, f16 m, u4 q[32]. */
    private static void q41(MemorySegment data, long block, float[] y) {
        float d = half(data, block);
        float m = half(data, block + 2);
        for (int i = 0; i < 16; i++) {
            int q = uint8(data, block + 4 + i);
            y[i] = (q & 0xF) * d + m;
            y[i + 16] = (q >> 4) * d + m;
        }
    }

    /** f16 d, f16 dmin, 12 bytes of 6-bit scales and mins, u4 q[256]: 32 bytes hold the low and the high halves of two groups of 32. */
    private static void q4k(MemorySegment data, long block, float[] y) {
        float d = half(data, block);
        float dmin = half(data, block + 2);
        long scales = block + 4;
        long quants = block + 16;
        for (int group = 0; group < 8; group++) {
            float scale = d * groupScale(data, scales, group);
            float min = dmin * groupMin(data, scales, group);
            int shift = 4 * (group & 1);
            for (int i = 0; i < 32; i++) {
                int q = uint8(data, quants + 32 * (group / 2) + i) >> shift & 0xF;
                y[32 * group + i] = scale * q - min;
            }
        }
    }

    /** As Q4_K with the fifth bits, u1 qh[8 groups in the bits of 32 bytes], between scales and quants. */
    private static void q5k(MemorySegment data, long block, float[] y) {
        float d = half(data, block);
        float dmin = half(data, block + 2);
        long scales = block + 4;
        long fifths = block + 16;
        long quants = block + 48;
        for (int group = 0; group < 8; group++) {
            float scale = d * groupScale(data, scales, group);
            float min = dmin * groupMin(data, scales, group);
            int shift = 4 * (group & 1);
            for (int i = 0; i < 32; i++) {
                int low = uint8(data, quants + 32 * (group / 2) + i) >> shift & 0xF;
                int high = uint8(data, fifths + i) >> group & 1;
                y[32 * group + i] = scale * (low | high << 4) - min;
            }
        }
    }

    /** u4 ql[256], u2 qh[256], i8 scales[16], f16 d; each half of 128 elements has four groups of 32, with a scale for every 16 elements. */
    private static void q6k(MemorySegment data, long block, float[] y) {
        float d = half(data, block + 208);
        for (int group = 0; group < 8; group++) {
            int half = group / 4;
            int quarter = group % 4;
            long lows = block + 64 * half + 32 * (quarter & 1);
            long highs = block + 128 + 32 * half;
            long scales = block + 192 + 2 * group;
            for (int i = 0; i < 32; i++) {
                int low = uint8(data, lows + i) >> 4 * (quarter >> 1) & 0xF;
                int high = uint8(data, highs + i) >> 2 * quarter & 3;
                y[32 * group + i] = d * int8(data, scales + i / 16) * ((low | high << 4) - 32);
            }
        }
    }

    /** The 6-bit scale of a K-quant's group: whole in bytes 0-3, or low in 8-11 with the top bits of 0-3. */
    private static int groupScale(MemorySegment data, long scales, int group) {
        return group < 4
                ? uint8(data, scales + group) & 63
                : uint8(data, scales + group + 4) & 0xF | uint8(data, scales + group - 4) >> 6 << 4;
    }

    /** The 6-bit min of a K-quant's group: whole in bytes 4-7, or high in 8-11 with the top bits of 4-7. */
    private static int groupMin(MemorySegment data, long scales, int group) {
        return group < 4
                ? uint8(data, scales + group + 4) & 63
                : uint8(data, scales + group + 4) >> 4 | uint8(data, scales + group) >> 6 << 4;
    }

    private static float half(MemorySegment data, long at) {
        return Float.float16ToFloat(data.get(Cursor.SHORT, at));
    }

    private static int int8(MemorySegment data, long at) {
        return data.get(ValueLayout.JAVA_BYTE, at);
    }

    private static int uint8(MemorySegment data, long at) {
        return data.get(ValueLayout.JAVA_BYTE, at) & 0xFF;
    }
}
