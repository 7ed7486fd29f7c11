package dev.polyphon.engine.backend.cpu;

import dev.polyphon.engine.weights.DType;

/** The integers of GGML's quantised blocks, in the order of columns; what they stand for is {@code scale · q + minimum}, see {@link GroupScales}. */
final class Quants {
    private Quants() {}

    /** Whether they are from 0 to 15. */
    static boolean nibbles(DType type) {
        return type == DType.Q4_0 || type == DType.Q4_1 || type == DType.Q4_K;
    }

    /** Reads the {@code type.blockSize()} integers of the block at {@code from}. */
    static void read(DType type, long from, byte[] to) {
        switch (type) {
            case Q8_0 -> Lanes.read(from + 2, to, 0, 32);
            case Q4_0 -> halves(from + 2, to);
            case Q4_1 -> halves(from + 4, to);
            case Q4_K -> {
                for (int k = 0; k < 256; k++) {
                    to[k] = (byte) nibble(from + 16, k);
                }
            }
            case Q5_K -> {
                for (int k = 0; k < 256; k++) {
                    to[k] = (byte) (nibble(from + 48, k) | (Lanes.getByte(from + 16 + k % 32) >> k / 32 & 1) << 4);
                }
            }
            case Q6_K -> six(from, to);
            default -> throw new IllegalArgumentException("no integers in " + type);
        }
    }

    /** Sixteen bytes with columns 0 to 15 in the lower nibbles and 16 to 31 in the upper ones. */
    private static void halves(long from, byte[] to) {
        Lanes.read(from, to, 0, 16);
        for (int k = 0; k < 16; k++) {
            to[k + 16] = (byte) (to[k] >> 4 & 15);
            to[k] &= 15;
        }
    }

    /** Groups of 32 alternate between the lower and upper nibbles of 32 bytes. */
    private static int nibble(long low, int k) {
        return Lanes.getUnsignedByte(low + k / 64 * 32 + k % 32) >> k % 64 / 32 * 4 & 15;
    }

    private static void six(long from, byte[] to) {
        for (int k = 0; k < 256; k++) {
            int half = k / 128;
            int quarter = k % 128 / 32;
            int low = Lanes.getUnsignedByte(from + half * 64 + quarter % 2 * 32 + k % 32) >> quarter / 2 * 4 & 15;
            int high = Lanes.getUnsignedByte(from + 128 + half * 32 + k % 32) >> quarter * 2 & 3;
            to[k] = (byte) ((high << 4 | low) - 32);
        }
    }
}
