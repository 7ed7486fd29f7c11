package dev.polyphon.engine.weights;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * GGML's type Q5_0, which quantisers fall back to from Q4_K where a row is no multiple of 256. Its blocks are Q8_0's with five bits an element, so that nothing is
 * lost when they are widened, and no kernel has to know them.
 */
final class FiveBits {
    /** GGML's number of the type. */
    static final int NUMBER = 6;
    /** f16 d, u1 qh[32] with the fifth bits, u4 q[32]: element i in the low half of byte i, element i + 16 in its high half; each stands for d (q - 16). */
    static final int BLOCK_BYTES = 22;

    private FiveBits() {}

    /** The same blocks in Q8_0, in memory of their own. */
    static MemorySegment widened(MemorySegment blocks) {
        long count = blocks.byteSize() / BLOCK_BYTES;
        int size = DType.Q8_0.blockBytes();
        MemorySegment wide = Arena.ofAuto().allocate(Math.max(1, count * size), 64).asSlice(0, count * size);
        for (long block = 0; block < count; block++) {
            long from = block * BLOCK_BYTES;
            long to = block * size;
            MemorySegment.copy(blocks, from, wide, to, 2);
            int fifths = blocks.get(ValueLayout.JAVA_INT_UNALIGNED, from + 2);
            for (int i = 0; i < 16; i++) {
                int pair = blocks.get(ValueLayout.JAVA_BYTE, from + 6 + i);
                wide.set(ValueLayout.JAVA_BYTE, to + 2 + i, element(pair & 15, fifths >> i));
                wide.set(ValueLayout.JAVA_BYTE, to + 18 + i, element(pair >> 4 & 15, fifths >> i + 16));
            }
        }
        return wide;
    }

    private static byte element(int low, int fifth) {
        return (byte) ((low | (fifth & 1) << 4) - 16);
    }
}
