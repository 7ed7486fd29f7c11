package dev.polyphon.measure.random;

import dev.polyphon.engine.weights.DType;
import dev.polyphon.engine.weights.TensorView;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.SplittableRandom;

/** Random tensors of any type of weights: quants are random bits, scales such that values have about the variance {@code spread²/in}. */
public final class RandomTensor {
    private RandomTensor() {}

    /** A tensor in native memory, as a file's mapping would have it; {@code in} is its last dimension. */
    public static TensorView of(Arena arena, String name, DType type, double spread, long seed, long... shape) {
        long elements = 1;
        for (long dimension : shape) {
            elements *= dimension;
        }
        MemorySegment data = arena.allocate(type.bytes(elements), 64);
        fill(data, type, (float) (spread / Math.sqrt(shape[shape.length - 1])), new SplittableRandom(seed));
        return new TensorView(name, type, shape, data);
    }

    private static void fill(MemorySegment data, DType type, float scale, SplittableRandom random) {
        byte[] block = new byte[type.blockBytes()];
        for (long at = 0; at < data.byteSize(); at += block.length) {
            // Uniform values, with the variance of normal ones.
            float value = (float) ((2 * random.nextDouble() - 1) * Math.sqrt(3)) * scale;
            switch (type) {
                case F32 -> data.set(ValueLayout.JAVA_FLOAT_UNALIGNED, at, value);
                case F16 -> half(data, at, value);
                case BF16 -> data.set(ValueLayout.JAVA_SHORT_UNALIGNED, at, (short) (Float.floatToRawIntBits(value) >> 16));
                default -> {
                    random.nextBytes(block);
                    MemorySegment.copy(block, 0, data, ValueLayout.JAVA_BYTE, at, block.length);
                    scales(data, type, at, scale);
                }
            }
        }
    }

    private static void scales(MemorySegment data, DType type, long at, float scale) {
        switch (type) {
            case Q8_0 -> half(data, at, scale / 74);
            case Q4_0 -> half(data, at, scale / 4.6f);
            case Q4_1 -> {
                half(data, at, scale / 4.6f);
                half(data, at + 2, -1.63f * scale);
            }
            case Q4_K, Q5_K -> {
                half(data, at, scale / (type == DType.Q4_K ? 170 : 340));
                half(data, at + 2, scale / 24);
            }
            case Q6_K -> half(data, at + 208, scale / 18.5f / 74);
            default -> throw new IllegalArgumentException("no random matrix of type " + type);
        }
    }

    private static void half(MemorySegment data, long at, float value) {
        data.set(ValueLayout.JAVA_SHORT_UNALIGNED, at, Float.floatToFloat16(value));
    }
}
