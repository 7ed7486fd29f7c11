package dev.polyphon.engine.backend.cpu;

import dev.polyphon.engine.weights.DType;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;

/**
 * Panels of quantised elements for the Vector API: a panel has its {@link GroupScales} first, then its elements, signed bytes [in][WIDTH] or nibbles
 * [in / 2][WIDTH], the lower nibble for the even column. Q5_K and Q6_K take a byte, as unpacking five or six bits would cost more time than their
 * bytes do.
 */
final class GroupedPanels extends Panels {
    private static final int WIDTH = Panels.WIDTH;
    private static final long ROW = 4L * WIDTH;

    private final DType type;
    private final GroupScales scales;
    private final int group;
    private final boolean nibbles;
    private final boolean minima;
    private final long elements;

    GroupedPanels(DType type, int out, int in) {
        GroupScales scales = new GroupScales(type);
        long bytes = scales.bytes(in) + (Quants.nibbles(type) ? in / 2 : in) * (long) WIDTH;
        super(out, in, bytes, bytes);
        this.type = type;
        this.scales = scales;
        this.group = scales.group();
        this.nibbles = Quants.nibbles(type);
        this.minima = scales.minima();
        this.elements = scales.bytes(in);
    }

    @Override
    void put(long panel, int i, long source) {
        byte[] q = new byte[type.blockSize()];
        for (int block = 0; block < in() / q.length; block++) {
            long from = source + (long) block * type.blockBytes();
            scales.put(panel, i, block, from);
            Quants.read(type, from, q);
            long to = panel + elements + (long) block * q.length * WIDTH / (nibbles ? 2 : 1) + i;
            if (nibbles) {
                for (int k = 0; k < q.length; k += 2) {
                    Lanes.setByte(to + (long) k / 2 * WIDTH, q[k] | q[k + 1] << 4);
                }
            } else {
                for (int k = 0; k < q.length; k++) {
                    Lanes.setByte(to + (long) k * WIDTH, q[k]);
                }
            }
        }
    }

    // ---- decoding

    @Override
    void decode(long panel, int from, int count, long to, Scratch scratch) {
        long scales = this.scales.expand(panel, from, count, scratch);
        long w = panel + elements + (long) from * WIDTH / (nibbles ? 2 : 1);
        if (nibbles) {
            decodeNibbles(w, scales, count / group, to);
        } else if (minima) {
            decodeBytesWithMinima(w, scales, count / group, to);
        } else {
            decodeBytes(w, scales, count / group, group, to);
        }
    }

    private static void decodeBytes(long w, long scales, int groups, int group, long to) {
        for (int g = 0; g < groups; g++) {
            FloatVector d0 = Lanes.load(scales + g * ROW);
            FloatVector d1 = Lanes.load(scales + g * ROW + ROW / 2);
            for (int k = g * group; k < (g + 1) * group; k++) {
                Lanes.store(Lanes.loadBytesAsFloats(w + (long) k * WIDTH).mul(d0), to + k * ROW);
                Lanes.store(Lanes.loadBytesAsFloats(w + (long) k * WIDTH + Lanes.L).mul(d1), to + k * ROW + ROW / 2);
            }
        }
    }

    private static void decodeBytesWithMinima(long w, long scales, int groups, long to) {
        for (int g = 0; g < groups; g++) {
            FloatVector d0 = Lanes.load(scales + 2 * g * ROW);
            FloatVector d1 = Lanes.load(scales + 2 * g * ROW + ROW / 2);
            FloatVector m0 = Lanes.load(scales + (2 * g + 1) * ROW);
            FloatVector m1 = Lanes.load(scales + (2 * g + 1) * ROW + ROW / 2);
            for (int k = g * 32; k < (g + 1) * 32; k++) {
                Lanes.store(Lanes.loadBytesAsFloats(w + (long) k * WIDTH).fma(d0, m0), to + k * ROW);
                Lanes.store(Lanes.loadBytesAsFloats(w + (long) k * WIDTH + Lanes.L).fma(d1, m1), to + k * ROW + ROW / 2);
            }
        }
    }

    private static void decodeNibbles(long w, long scales, int groups, long to) {
        for (int g = 0; g < groups; g++) {
            FloatVector d0 = Lanes.load(scales + 2 * g * ROW);
            FloatVector d1 = Lanes.load(scales + 2 * g * ROW + ROW / 2);
            FloatVector m0 = Lanes.load(scales + (2 * g + 1) * ROW);
            FloatVector m1 = Lanes.load(scales + (2 * g + 1) * ROW + ROW / 2);
            for (int k = g * 16; k < (g + 1) * 16; k++) {
                IntVector q0 = Lanes.loadUnsignedBytes(w + (long) k * WIDTH);
                IntVector q1 = Lanes.loadUnsignedBytes(w + (long) k * WIDTH + Lanes.L);
                Lanes.store(Lanes.low(q0).fma(d0, m0), to + 2 * k * ROW);
                Lanes.store(Lanes.low(q1).fma(d1, m1), to + 2 * k * ROW + ROW / 2);
                Lanes.store(Lanes.high(q0).fma(d0, m0), to + (2 * k + 1) * ROW);
                Lanes.store(Lanes.high(q1).fma(d1, m1), to + (2 * k + 1) * ROW + ROW / 2);
            }
        }
    }

    // ---- one row

    @Override
    boolean multiplyRow(long panel, long x, float[] sums, Scratch scratch) {
        for (int k = 0; k < in(); k += MOST_COLUMNS) {
            int count = Math.min(MOST_COLUMNS, in() - k);
            long scales = this.scales.expand(panel, k, count, scratch);
            long w = panel + elements + (long) k * WIDTH / (nibbles ? 2 : 1);
            if (nibbles) {
                multiplyNibbles(w, scales, count / group, x + 4L * k, sums);
            } else if (minima) {
                multiplyBytesWithMinima(w, scales, count / group, x + 4L * k, sums);
            } else {
                multiplyBytes(w, scales, count / group, group, x + 4L * k, sums);
            }
        }
        return true;
    }

    private static void multiplyBytes(long w, long scales, int groups, int group, long x, float[] sums) {
        FloatVector a = Lanes.load(sums, 0);
        FloatVector b = Lanes.load(sums, Lanes.L);
        for (int g = 0; g < groups; g++) {
            FloatVector d0 = Lanes.load(scales + g * ROW);
            FloatVector d1 = Lanes.load(scales + g * ROW + ROW / 2);
            for (int k = g * group; k < (g + 1) * group; k++) {
                FloatVector v = Lanes.all(Lanes.get(x + 4L * k));
                a = Lanes.loadBytesAsFloats(w + (long) k * WIDTH).mul(d0).fma(v, a);
                b = Lanes.loadBytesAsFloats(w + (long) k * WIDTH + Lanes.L).mul(d1).fma(v, b);
            }
        }
        Lanes.store(a, sums, 0);
        Lanes.store(b, sums, Lanes.L);
    }

    private static void multiplyBytesWithMinima(long w, long scales, int groups, long x, float[] sums) {
        FloatVector a = Lanes.load(sums, 0);
        FloatVector b = Lanes.load(sums, Lanes.L);
        for (int g = 0; g < groups; g++) {
            FloatVector d0 = Lanes.load(scales + 2 * g * ROW);
            FloatVector d1 = Lanes.load(scales + 2 * g * ROW + ROW / 2);
            FloatVector m0 = Lanes.load(scales + (2 * g + 1) * ROW);
            FloatVector m1 = Lanes.load(scales + (2 * g + 1) * ROW + ROW / 2);
            for (int k = g * 32; k < (g + 1) * 32; k++) {
                FloatVector v = Lanes.all(Lanes.get(x + 4L * k));
                a = Lanes.loadBytesAsFloats(w + (long) k * WIDTH).fma(d0, m0).fma(v, a);
                b = Lanes.loadBytesAsFloats(w + (long) k * WIDTH + Lanes.L).fma(d1, m1).fma(v, b);
            }
        }
        Lanes.store(a, sums, 0);
        Lanes.store(b, sums, Lanes.L);
    }

    private static void multiplyNibbles(long w, long scales, int groups, long x, float[] sums) {
        FloatVector a = Lanes.load(sums, 0);
        FloatVector b = Lanes.load(sums, Lanes.L);
        for (int g = 0; g < groups; g++) {
            FloatVector d0 = Lanes.load(scales + 2 * g * ROW);
            FloatVector d1 = Lanes.load(scales + 2 * g * ROW + ROW / 2);
            FloatVector m0 = Lanes.load(scales + (2 * g + 1) * ROW);
            FloatVector m1 = Lanes.load(scales + (2 * g + 1) * ROW + ROW / 2);
            for (int k = g * 16; k < (g + 1) * 16; k++) {
                IntVector q0 = Lanes.loadUnsignedBytes(w + (long) k * WIDTH);
                IntVector q1 = Lanes.loadUnsignedBytes(w + (long) k * WIDTH + Lanes.L);
                FloatVector v = Lanes.all(Lanes.get(x + 8L * k));
                a = Lanes.low(q0).fma(d0, m0).fma(v, a);
                b = Lanes.low(q1).fma(d1, m1).fma(v, b);
                v = Lanes.all(Lanes.get(x + 8L * k + 4));
                a = Lanes.high(q0).fma(d0, m0).fma(v, a);
                b = Lanes.high(q1).fma(d1, m1).fma(v, b);
            }
        }
        Lanes.store(a, sums, 0);
        Lanes.store(b, sums, Lanes.L);
    }
}
