package dev.polyphon.engine.backend.reference;

import dev.polyphon.engine.weights.TensorView;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/**
 * Scalar decoders of GGML's block formats, written after the layouts in its
 * <a href="https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h">block structures</a>.
 */
final class Dequantiser {
    private static final ValueLayout.OfShort SHORT = ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfFloat FLOAT = ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfDouble DOUBLE = ValueLayout.JAVA_DOUBLE_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    private final MemorySegment data;
    private final float[] out;

    private Dequantiser(MemorySegment data, float[] out) {
        this.data = data;
        this.out = out;
    }

    static float[] all(TensorView view) {
        float[] out = new float[Math.toIntExact(view.elements())];
        Dequantiser d = new Dequantiser(view.data(), out);
        int size = view.dtype().blockSize();
        for (int block = 0; block < out.length / size; block++) {
            long at = (long) block * view.dtype().blockBytes();
            int to = block * size;
            switch (view.dtype()) {
                case F64 -> out[to] = (float) view.data().get(DOUBLE, at);
                case F32 -> out[to] = view.data().get(FLOAT, at);
                case F16 -> out[to] = d.half(at);
                case BF16 -> out[to] = Float.intBitsToFloat(view.data().get(SHORT, at) << 16);
                case Q8_0 -> d.q8(at, to);
                case Q4_0 -> d.q4(at, 2, -8 * d.half(at), to);
                case Q4_1 -> d.q4(at, 4, d.half(at + 2), to);
                case Q4_K -> d.k4(at, to, false);
                case Q5_K -> d.k4(at, to, true);
                case Q6_K -> d.k6(at, to);
                default -> throw new IllegalArgumentException(view.dtype() + " is no float type");
            }
        }
        return out;
    }

    private float half(long at) {
        return Float.float16ToFloat(data.get(SHORT, at));
    }

    private int u8(long at) {
        return data.get(ValueLayout.JAVA_BYTE, at) & 0xFF;
    }

    private void q8(long at, int to) {
        for (int i = 0; i < 32; i++) {
            out[to + i] = half(at) * data.get(ValueLayout.JAVA_BYTE, at + 2 + i);
        }
    }

    private void q4(long at, int header, float offset, int to) {
        for (int i = 0; i < 16; i++) {
            int pair = u8(at + header + i);
            out[to + i] = half(at) * (pair & 15) + offset;
            out[to + i + 16] = half(at) * (pair >> 4) + offset;
        }
    }

    /** Q4_K and Q5_K: eight groups of 32 with 6-bit scales and minima; the fifth bits stand between those and the nibbles. */
    private void k4(long at, int to, boolean fifth) {
        long scales = at + 4;
        long high = at + 16;
        long low = fifth ? high + 32 : high;
        for (int group = 0; group < 8; group++) {
            int scale;
            int min;
            if (group < 4) {
                scale = u8(scales + group) & 63;
                min = u8(scales + group + 4) & 63;
            } else {
                scale = u8(scales + group + 4) & 15 | u8(scales + group - 4) >> 6 << 4;
                min = u8(scales + group + 4) >> 4 | u8(scales + group) >> 6 << 4;
            }
            for (int i = 0; i < 32; i++) {
                int q = u8(low + group / 2 * 32 + i) >> group % 2 * 4 & 15;
                if (fifth) {
                    q |= (u8(high + i) >> group & 1) << 4;
                }
                out[to + group * 32 + i] = half(at) * scale * q - half(at + 2) * min;
            }
        }
    }

    /** Q6_K: 16 groups of 16 with signed 8-bit scales; two halves of 128 with four interleaved quarters each. */
    private void k6(long at, int to) {
        for (int i = 0; i < 256; i++) {
            int half = i / 128;
            int quarter = i % 128 / 32;
            int l = i % 32;
            int low = u8(at + half * 64 + quarter % 2 * 32 + l) >> quarter / 2 * 4 & 15;
            int high = u8(at + 128 + half * 32 + l) >> quarter * 2 & 3;
            int scale = data.get(ValueLayout.JAVA_BYTE, at + 192 + i / 16);
            out[to + i] = half(at + 208) * scale * ((high << 4 | low) - 32);
        }
    }
}
