package dev.polyphon.engine.backend.cpu;

import dev.polyphon.engine.weights.DType;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;

/**
 * Panels of quantised elements: {@code w = scale · q + min} with a scale, and for most types a minimum, per row and group of columns.
 *
 * <p>A panel has its scales first, then its elements. Elements are signed bytes [in][WIDTH] or nibbles [in / 2][WIDTH], the lower nibble for the
 * even column; Q5_K and Q6_K take a byte, as unpacking five or six bits would cost more time than their bytes do. Scales are stored as the file has
 * them, only reordered; {@link #scales} makes f32 of a range of groups, [group][scale, minimum][WIDTH], right before its elements are read.
 */
final class GroupedPanels extends Panels {
    private static final int WIDTH = Panels.WIDTH;
    private static final long ROW = 4L * WIDTH;
    private static final int SUPER = 256;

    private final DType type;
    private final int group;
    private final boolean nibbles;
    private final boolean minima;
    private final long elements;

    GroupedPanels(DType type, int out, int in) {
        long scaleBytes = scaleBytes(type, in);
        super(out, in, scaleBytes + (nibbles(type) ? in / 2 : in) * (long) WIDTH);
        this.type = type;
        this.group = type == DType.Q6_K ? 16 : 32;
        this.nibbles = nibbles(type);
        this.minima = type != DType.Q8_0 && type != DType.Q6_K;
        this.elements = scaleBytes;
    }

    private static boolean nibbles(DType type) {
        return type == DType.Q4_0 || type == DType.Q4_1 || type == DType.Q4_K;
    }

    private static long scaleBytes(DType type, int in) {
        int perBlock = switch (type) {
            case Q8_0, Q4_0 -> 2;
            case Q4_1 -> 4;
            case Q4_K, Q5_K -> 4 + 16;
            case Q6_K -> 2 + 16;
            default -> throw new IllegalArgumentException("no groups in " + type);
        };
        return (long) in / type.blockSize() * perBlock * WIDTH;
    }

    // ---- packing

    @Override
    void put(long panel, int i, long source) {
        for (int block = 0; block < in() / type.blockSize(); block++) {
            long from = source + (long) block * type.blockBytes();
            long to = panel + elements + (long) block * type.blockSize() * WIDTH / (nibbles ? 2 : 1) + i;
            switch (type) {
                case Q8_0 -> {
                    Lanes.setShort(panel + 2L * (block * WIDTH + i), Lanes.getShort(from));
                    for (int k = 0; k < 32; k++) {
                        Lanes.setByte(to + (long) k * WIDTH, Lanes.getByte(from + 2 + k));
                    }
                }
                case Q4_0 -> {
                    Lanes.setShort(panel + 2L * (block * WIDTH + i), Lanes.getShort(from));
                    putHalves(from + 2, to);
                }
                case Q4_1 -> {
                    Lanes.setShort(panel + 2L * (block * 2 * WIDTH + i), Lanes.getShort(from));
                    Lanes.setShort(panel + 2L * ((block * 2 + 1) * WIDTH + i), Lanes.getShort(from + 2));
                    putHalves(from + 4, to);
                }
                case Q4_K, Q5_K -> putWithMinima(panel, i, block, from, to);
                case Q6_K -> put6(panel, i, block, from, to);
                default -> throw new IllegalStateException();
            }
        }
    }

    /** Sixteen bytes with columns 0 to 15 in the lower nibbles and 16 to 31 in the upper ones. */
    private static void putHalves(long from, long to) {
        for (int k = 0; k < 16; k++) {
            int even = 2 * k;
            int low = Lanes.getUnsignedByte(from + even % 16) >> even / 16 * 4 & 15;
            int high = Lanes.getUnsignedByte(from + (even + 1) % 16) >> even / 16 * 4 & 15;
            Lanes.setByte(to + (long) k * WIDTH, low | high << 4);
        }
    }

    private void putWithMinima(long panel, int i, int block, long from, long to) {
        long superScales = panel + (long) block * 20 * WIDTH;
        Lanes.setShort(superScales + 2L * i, Lanes.getShort(from));
        Lanes.setShort(superScales + 2L * (WIDTH + i), Lanes.getShort(from + 2));
        for (int g = 0; g < 8; g++) {
            Lanes.setByte(superScales + 4L * WIDTH + 2L * g * WIDTH + i, RowDecoder.scale6(from + 4, g, false));
            Lanes.setByte(superScales + 4L * WIDTH + (2L * g + 1) * WIDTH + i, RowDecoder.scale6(from + 4, g, true));
        }
        boolean five = type == DType.Q5_K;
        long high = from + 16;
        long low = five ? high + 32 : high;
        for (int k = 0; k < SUPER; k++) {
            int q = nibble(low, k);
            if (five) {
                q |= (Lanes.getByte(high + k % 32) >> k / 32 & 1) << 4;
                Lanes.setByte(to + (long) k * WIDTH, q);
            } else if (k % 2 == 0) {
                Lanes.setByte(to + (long) k / 2 * WIDTH, q | nibble(low, k + 1) << 4);
            }
        }
    }

    /** Groups of 32 alternate between the lower and upper nibbles of 32 bytes. */
    private static int nibble(long low, int k) {
        return Lanes.getUnsignedByte(low + k / 64 * 32 + k % 32) >> k % 64 / 32 * 4 & 15;
    }

    private static void put6(long panel, int i, int block, long from, long to) {
        long superScales = panel + (long) block * 18 * WIDTH;
        Lanes.setShort(superScales + 2L * i, Lanes.getShort(from + 208));
        for (int g = 0; g < 16; g++) {
            Lanes.setByte(superScales + (2L + g) * WIDTH + i, Lanes.getByte(from + 192 + g));
        }
        for (int k = 0; k < SUPER; k++) {
            int half = k / 128;
            int quarter = k % 128 / 32;
            int low = Lanes.getUnsignedByte(from + half * 64 + quarter % 2 * 32 + k % 32) >> quarter / 2 * 4 & 15;
            int high = Lanes.getUnsignedByte(from + 128 + half * 32 + k % 32) >> quarter * 2 & 3;
            Lanes.setByte(to + (long) k * WIDTH, (high << 4 | low) - 32);
        }
    }

    // ---- scales

    /** The f32 scales and minima of the groups of some columns; ends up in the scratch's {@link Scratch#scales()}. */
    private long scales(long panel, int from, int count, Scratch scratch) {
        long to = scratch.scales();
        int block = from / type.blockSize();
        switch (type) {
            case Q8_0 -> halves(panel + 2L * WIDTH * block, count / 32 * WIDTH, to);
            case Q4_0 -> scalesAndEights(panel + 2L * WIDTH * block, count / 32, to);
            case Q4_1 -> halves(panel + 4L * WIDTH * block, count / 32 * 2 * WIDTH, to);
            case Q4_K, Q5_K -> {
                for (int k = 0; k < count; k += 32) {
                    long superScales = panel + (long) ((from + k) / SUPER) * 20 * WIDTH;
                    int g = (from + k) % SUPER / 32;
                    product(superScales, superScales + (4L + 2 * g) * WIDTH, to + k / 32 * 2 * ROW, 1);
                    product(superScales + 2L * WIDTH, superScales + (5L + 2 * g) * WIDTH, to + (k / 32 * 2 + 1) * ROW, -1);
                }
            }
            case Q6_K -> {
                for (int k = 0; k < count; k += 16) {
                    long superScales = panel + (long) ((from + k) / SUPER) * 18 * WIDTH;
                    product(superScales, superScales + (2L + (from + k) % SUPER / 16) * WIDTH, to + k / 16 * ROW, 1);
                }
            }
            default -> throw new IllegalStateException();
        }
        return to;
    }

    private static void halves(long from, int count, long to) {
        for (int i = 0; i < count; i += Lanes.L) {
            Lanes.store(Lanes.loadHalves(from + 2L * i), to + 4L * i);
        }
    }

    /** Q4_0: the minimum is -8 times the scale. */
    private static void scalesAndEights(long from, int groups, long to) {
        for (int g = 0; g < groups; g++) {
            for (int i = 0; i < WIDTH; i += Lanes.L) {
                FloatVector scale = Lanes.loadHalves(from + 2L * (g * WIDTH + i));
                Lanes.store(scale, to + 2 * g * ROW + 4L * i);
                Lanes.store(scale.mul(-8f), to + (2 * g + 1) * ROW + 4L * i);
            }
        }
    }

    /** A super-block's scale times a group's small integer, as the formats define a group's scale. */
    private static void product(long halves, long bytes, long to, float sign) {
        for (int i = 0; i < WIDTH; i += Lanes.L) {
            Lanes.store(Lanes.loadHalves(halves + 2L * i).mul(Lanes.loadBytesAsFloats(bytes + i)).mul(sign), to + 4L * i);
        }
    }

    // ---- decoding

    @Override
    void decode(long panel, int from, int count, long to, Scratch scratch) {
        long scales = scales(panel, from, count, scratch);
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
    void multiply(long panel, int from, int count, long x, float[] sums, int at, Scratch scratch) {
        long scales = scales(panel, from, count, scratch);
        long w = panel + elements + (long) from * WIDTH / (nibbles ? 2 : 1);
        if (nibbles) {
            multiplyNibbles(w, scales, count / group, x, sums, at);
        } else if (minima) {
            multiplyBytesWithMinima(w, scales, count / group, x, sums, at);
        } else {
            multiplyBytes(w, scales, count / group, group, x, sums, at);
        }
    }

    private static void multiplyBytes(long w, long scales, int groups, int group, long x, float[] sums, int at) {
        FloatVector a = Lanes.load(sums, at);
        FloatVector b = Lanes.load(sums, at + Lanes.L);
        for (int g = 0; g < groups; g++) {
            FloatVector d0 = Lanes.load(scales + g * ROW);
            FloatVector d1 = Lanes.load(scales + g * ROW + ROW / 2);
            for (int k = g * group; k < (g + 1) * group; k++) {
                FloatVector v = Lanes.all(Lanes.get(x + 4L * k));
                a = Lanes.loadBytesAsFloats(w + (long) k * WIDTH).mul(d0).fma(v, a);
                b = Lanes.loadBytesAsFloats(w + (long) k * WIDTH + Lanes.L).mul(d1).fma(v, b);
            }
        }
        Lanes.store(a, sums, at);
        Lanes.store(b, sums, at + Lanes.L);
    }

    private static void multiplyBytesWithMinima(long w, long scales, int groups, long x, float[] sums, int at) {
        FloatVector a = Lanes.load(sums, at);
        FloatVector b = Lanes.load(sums, at + Lanes.L);
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
        Lanes.store(a, sums, at);
        Lanes.store(b, sums, at + Lanes.L);
    }

    private static void multiplyNibbles(long w, long scales, int groups, long x, float[] sums, int at) {
        FloatVector a = Lanes.load(sums, at);
        FloatVector b = Lanes.load(sums, at + Lanes.L);
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
        Lanes.store(a, sums, at);
        Lanes.store(b, sums, at + Lanes.L);
    }
}
