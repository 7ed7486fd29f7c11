package dev.polyphon.engine.sample.grammar;

import java.util.function.Consumer;

/** Ranges of characters as sequences of ranges of bytes (RFC 3629). */
final class Utf8 {
    private static final int[] LARGEST = {0x7F, 0x7FF, 0xFFFF, 0x10FFFF};

    private Utf8() {}

    /**
     * Splits a range so that each part is a product of ranges of bytes.
     *
     * @param out takes each part: first and last of every byte, in turn
     */
    static void split(int first, int last, Consumer<int[]> out) {
        for (int length = 1; length <= 4; length++) {
            int smallest = length == 1 ? 0 : LARGEST[length - 2] + 1;
            int from = Math.max(first, smallest);
            int to = Math.min(last, LARGEST[length - 1]);
            if (from <= to) {
                split(from, to, length, out);
            }
        }
    }

    private static void split(int first, int last, int length, Consumer<int[]> out) {
        for (int i = 1; i < length; i++) {
            int mask = (1 << 6 * i) - 1;
            if ((first & ~mask) != (last & ~mask)) {
                if ((first & mask) != 0) {
                    split(first, first | mask, length, out);
                    split((first | mask) + 1, last, length, out);
                    return;
                }
                if ((last & mask) != mask) {
                    split(first, (last & ~mask) - 1, length, out);
                    split(last & ~mask, last, length, out);
                    return;
                }
            }
        }
        int[] bytes = new int[2 * length];
        for (int i = 0; i < length; i++) {
            bytes[2 * i] = at(first, i, length);
            bytes[2 * i + 1] = at(last, i, length);
        }
        out.accept(bytes);
    }

    private static int at(int character, int index, int length) {
        if (length == 1) {
            return character;
        }
        int bits = character >> 6 * (length - 1 - index);
        return index == 0 ? bits | 0xF00 >> length & 0xFF : bits & 0x3F | 0x80;
    }
}
