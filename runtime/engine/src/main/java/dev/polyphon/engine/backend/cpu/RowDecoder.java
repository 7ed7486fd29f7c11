package dev.polyphon.engine.backend.cpu;

import dev.polyphon.engine.weights.DType;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorOperators;

/**
 * Decodes rows of the file's element types to f32. The block formats are GGML's
 * (<a href="https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h">block structures</a>).
 */
final class RowDecoder {
    private RowDecoder() {}

    /**
     * Decodes {@code count} elements, whole blocks, from {@code from} on. The destination must have room for a multiple of the lanes.
     */
    static void decode(DType type, long from, int count, long to) {
        switch (type) {
            case F64 -> f64(from, count, to);
            case F32 -> Lanes.copy(from, to, 4L * count);
            case F16 -> f16(from, count, to);
            case BF16 -> bf16(from, count, to);
            case Q8_0 -> q8(from, count, to);
            case Q4_0 -> q4(from, count, to, false);
            case Q4_1 -> q4(from, count, to, true);
            case Q4_K -> k45(from, count, to, false);
            case Q5_K -> k45(from, count, to, true);
            case Q6_K -> k6(from, count, to);
            default -> throw new IllegalArgumentException("no weights of type " + type);
        }
    }

    private static void f64(long from, int count, long to) {
        for (int i = 0; i < count; i++) {
            Lanes.set(to + 4L * i, (float) Lanes.getDouble(from + 8L * i));
        }
    }

    private static void f16(long from, int count, long to) {
        for (int i = 0; i < count; i++) {
            Lanes.set(to + 4L * i, Lanes.getHalf(from + 2L * i));
        }
    }

    private static void bf16(long from, int count, long to) {
        int i = 0;
        for (; i <= count - Lanes.L; i += Lanes.L) {
            var bits = Lanes.loadShorts(from + 2L * i).convertShape(VectorOperators.S2I, Lanes.I, 0).reinterpretAsInts();
            Lanes.store(bits.lanewise(VectorOperators.LSHL, 16).reinterpretAsFloats(), to + 4L * i);
        }
        for (; i < count; i++) {
            Lanes.set(to + 4L * i, Float.intBitsToFloat(Lanes.getShort(from + 2L * i) << 16));
        }
    }

    private static void q8(long from, int count, long to) {
        for (int block = 0; block < count / 32; block++) {
            long at = from + 34L * block;
            FloatVector d = Lanes.all(Lanes.getHalf(at));
            for (int i = 0; i < 32; i += Lanes.B.length()) {
                var q = Lanes.loadBytes(at + 2 + i);
                for (int part = 0; part < Lanes.FLOATS_PER_B; part++) {
                    FloatVector v = (FloatVector) q.convertShape(VectorOperators.B2F, Lanes.F, part);
                    Lanes.store(v.mul(d), to + 4L * (32 * block + i + part * Lanes.L));
                }
            }
        }
    }

    private static void q4(long from, int count, long to, boolean withMin) {
        int header = withMin ? 4 : 2;
        for (int block = 0; block < count / 32; block++) {
            long at = from + (header + 16L) * block;
            float scale = Lanes.getHalf(at);
            FloatVector d = Lanes.all(scale);
            FloatVector m = Lanes.all(withMin ? Lanes.getHalf(at + 2) : -8 * scale);
            for (int i = 0; i < 16; i += Lanes.B.length()) {
                var pairs = Lanes.loadBytes(at + header + i);
                var low = pairs.and((byte) 15);
                var high = pairs.lanewise(VectorOperators.LSHR, 4);
                for (int part = 0; part < Lanes.FLOATS_PER_B; part++) {
                    long out = to + 4L * (32 * block + i + part * Lanes.L);
                    Lanes.store(((FloatVector) low.convertShape(VectorOperators.B2F, Lanes.F, part)).mul(d).add(m), out);
                    Lanes.store(((FloatVector) high.convertShape(VectorOperators.B2F, Lanes.F, part)).mul(d).add(m), out + 64);
                }
            }
        }
    }

    /** Q4_K and Q5_K: eight groups of 32 with 6-bit scales and minima; Q5_K's fifth bits stand between those and the nibbles. */
    private static void k45(long from, int count, long to, boolean fifth) {
        int size = fifth ? 176 : 144;
        for (int block = 0; block < count / 256; block++) {
            long at = from + (long) size * block;
            float d = Lanes.getHalf(at);
            float min = Lanes.getHalf(at + 2);
            long high = at + 16;
            long low = fifth ? high + 32 : high;
            for (int group = 0; group < 8; group++) {
                float scale = d * scale6(at + 4, group, false);
                float offset = -min * scale6(at + 4, group, true);
                for (int i = 0; i < 32; i += Lanes.B.length()) {
                    var q = Lanes.loadBytes(low + group / 2 * 32 + i).lanewise(VectorOperators.LSHR, group % 2 * 4).and((byte) 15);
                    if (fifth) {
                        q = q.or(Lanes.loadBytes(high + i).lanewise(VectorOperators.LSHR, group).and((byte) 1).lanewise(VectorOperators.LSHL, 4));
                    }
                    for (int part = 0; part < Lanes.FLOATS_PER_B; part++) {
                        FloatVector v = (FloatVector) q.convertShape(VectorOperators.B2F, Lanes.F, part);
                        Lanes.store(v.mul(scale).add(offset), to + 4L * (256 * block + group * 32 + i + part * Lanes.L));
                    }
                }
            }
        }
    }

    /** The 6-bit scale or minimum of one of eight groups, out of the 12 bytes that hold them all. */
    static int scale6(long scales, int group, boolean min) {
        int place = group % 4;
        if (group < 4) {
            return Lanes.getUnsignedByte(scales + place + (min ? 4 : 0)) & 63;
        }
        int low = Lanes.getUnsignedByte(scales + 8 + place) >> (min ? 4 : 0) & 15;
        return low | Lanes.getUnsignedByte(scales + place + (min ? 4 : 0)) >> 6 << 4;
    }

    /** Q6_K: two halves of 128 with four quarters each whose bits are interleaved; signed 8-bit scales for every 16. */
    private static void k6(long from, int count, long to) {
        for (int block = 0; block < count / 256; block++) {
            long at = from + 210L * block;
            float d = Lanes.getHalf(at + 208);
            for (int part16 = 0; part16 < 16; part16++) {
                int half = part16 / 8;
                int quarter = part16 % 8 / 2;
                int column = part16 % 2 * 16;
                float scale = d * Lanes.getByte(at + 192 + part16);
                long low = at + half * 64L + quarter % 2 * 32 + column;
                long high = at + 128 + half * 32L + column;
                for (int i = 0; i < 16; i += Lanes.B.length()) {
                    var l = Lanes.loadBytes(low + i).lanewise(VectorOperators.LSHR, quarter / 2 * 4).and((byte) 15);
                    var h = Lanes.loadBytes(high + i).lanewise(VectorOperators.LSHR, quarter * 2).and((byte) 3).lanewise(VectorOperators.LSHL, 4);
                    var q = l.or(h).sub((byte) 32);
                    for (int part = 0; part < Lanes.FLOATS_PER_B; part++) {
                        FloatVector v = (FloatVector) q.convertShape(VectorOperators.B2F, Lanes.F, part);
                        Lanes.store(v.mul(scale), to + 4L * (256 * block + 16 * part16 + i + part * Lanes.L));
                    }
                }
            }
        }
    }
}
