package dev.polyphon.engine.backend.cpu;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import jdk.incubator.vector.ByteVector;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.ShortVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorShape;
import jdk.incubator.vector.VectorShuffle;
import jdk.incubator.vector.VectorSpecies;

/**
 * The machine's vectors, and loads and stores of them by address.
 *
 * <p>Kernels check shapes and lifetimes once per operation and then compute addresses, as bounds checks per load would cost more than the load.
 *
 * <p>Neither {@code reduceLanes} on floats nor the transcendental operators are used anywhere in the backend: their results may differ between
 * interpreted and compiled code, so a row's bits would depend on when it was computed.
 */
final class Lanes {
    /** Floats of the preferred width, though of no more than 16 lanes: a block of the quantised types is a multiple of 16. */
    static final VectorSpecies<Float> F =
            FloatVector.SPECIES_PREFERRED.length() <= 16 ? FloatVector.SPECIES_PREFERRED : FloatVector.SPECIES_512;
    static final VectorSpecies<Integer> I = VectorSpecies.of(int.class, F.vectorShape());
    /** Lanes of {@link #F}; a power of two. */
    static final int L = F.length();

    /** As many shorts as floats. With 128-bit floats that is the smallest vector there is. */
    static final VectorSpecies<Short> S = VectorSpecies.of(short.class, VectorShape.forBitSize(L * 16));
    /** As many bytes as floats, but at least 8, the smallest vector there is. */
    static final VectorSpecies<Byte> B = VectorSpecies.of(byte.class, VectorShape.forBitSize(Math.max(64, L * 8)));
    /** Float vectors in a {@link #B}. */
    static final int FLOATS_PER_B = B.length() / L;

    private static final MemorySegment ALL = MemorySegment.NULL.reinterpret(Long.MAX_VALUE);
    private static final ByteOrder LE = ByteOrder.LITTLE_ENDIAN;
    private static final ValueLayout.OfFloat FLOAT = ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(LE);
    private static final ValueLayout.OfShort SHORT = ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(LE);
    private static final ValueLayout.OfDouble DOUBLE = ValueLayout.JAVA_DOUBLE_UNALIGNED.withOrder(LE);
    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(LE);

    private static final VectorShuffle<Float> BY_8 = VectorShuffle.iota(F, 8 % L, 1, true);
    private static final VectorShuffle<Float> BY_4 = VectorShuffle.iota(F, 4 % L, 1, true);
    private static final VectorShuffle<Float> BY_2 = VectorShuffle.iota(F, 2 % L, 1, true);
    private static final VectorShuffle<Float> BY_1 = VectorShuffle.iota(F, 1 % L, 1, true);

    private Lanes() {}

    static FloatVector zero() {
        return FloatVector.zero(F);
    }

    static FloatVector all(float value) {
        return FloatVector.broadcast(F, value);
    }

    static FloatVector load(long address) {
        return FloatVector.fromMemorySegment(F, ALL, address, LE);
    }

    /** The first {@code count} lanes from memory, zeros in the others. Reads a whole vector. */
    static FloatVector loadFirst(long address, int count) {
        return first(load(address), count);
    }

    /** The vector with zeros in all lanes but the first {@code count}. */
    static FloatVector first(FloatVector v, int count) {
        return zero().blend(v, F.indexInRange(0, count));
    }

    /** Stores the first {@code count} lanes alone. */
    static void storeFirst(FloatVector v, long address, int count) {
        v.intoMemorySegment(ALL, address, LE, F.indexInRange(0, count));
    }

    static FloatVector load(float[] array, int at) {
        return FloatVector.fromArray(F, array, at);
    }

    static void store(FloatVector v, float[] array, int at) {
        v.intoArray(array, at);
    }

    static void store(FloatVector v, long address) {
        v.intoMemorySegment(ALL, address, LE);
    }

    static ByteVector loadBytes(long address) {
        return ByteVector.fromMemorySegment(B, ALL, address, LE);
    }

    /** As many signed bytes as lanes. May read up to 8 bytes, more than it uses. */
    static FloatVector loadBytesAsFloats(long address) {
        return (FloatVector) loadBytes(address).convertShape(VectorOperators.B2F, F, 0);
    }

    /** As many unsigned bytes as lanes. May read up to 8 bytes, more than it uses. */
    static IntVector loadUnsignedBytes(long address) {
        return (IntVector) loadBytes(address).convertShape(VectorOperators.ZERO_EXTEND_B2I, I, 0);
    }

    /** Bits 0 to 3. */
    static FloatVector low(IntVector v) {
        return (FloatVector) v.and(15).convert(VectorOperators.I2F, 0);
    }

    /** Bits 4 and up. */
    static FloatVector high(IntVector v) {
        return (FloatVector) v.lanewise(VectorOperators.LSHR, 4).convert(VectorOperators.I2F, 0);
    }

    /**
     * As many finite IEEE half floats as lanes. Their exponent and mantissa are moved to a float's place, where they stand for a number 2^112 times
     * too small, subnormals included. Infinities come out as 65536.
     */
    static FloatVector loadHalves(long address) {
        IntVector v = (IntVector) loadShorts(address).convertShape(VectorOperators.S2I, I, 0);
        return v.lanewise(VectorOperators.LSHL, 13).and(0x8FFFE000).reinterpretAsFloats().mul(0x1p112f);
    }

    /** As many bfloat16 as lanes. */
    static FloatVector loadBrains(long address) {
        IntVector v = (IntVector) loadShorts(address).convertShape(VectorOperators.S2I, I, 0);
        return v.lanewise(VectorOperators.LSHL, 16).reinterpretAsFloats();
    }

    static ShortVector loadShorts(long address) {
        return ShortVector.fromMemorySegment(S, ALL, address, LE);
    }

    static void storeShorts(ShortVector v, long address) {
        v.intoMemorySegment(ALL, address, LE);
    }

    static float get(long address) {
        return ALL.get(FLOAT, address);
    }

    static void set(long address, float value) {
        ALL.set(FLOAT, address, value);
    }

    static double getDouble(long address) {
        return ALL.get(DOUBLE, address);
    }

    static int getByte(long address) {
        return ALL.get(ValueLayout.JAVA_BYTE, address);
    }

    static int getUnsignedByte(long address) {
        return ALL.get(ValueLayout.JAVA_BYTE, address) & 0xFF;
    }

    static short getShort(long address) {
        return ALL.get(SHORT, address);
    }

    static long getLong(long address) {
        return ALL.get(LONG, address);
    }

    static void setLong(long address, long value) {
        ALL.set(LONG, address, value);
    }

    static void setShort(long address, short value) {
        ALL.set(SHORT, address, value);
    }

    static void setByte(long address, int value) {
        ALL.set(ValueLayout.JAVA_BYTE, address, (byte) value);
    }

    static float getHalf(long address) {
        return Float.float16ToFloat(ALL.get(SHORT, address));
    }

    static void copy(long from, long to, long bytes) {
        MemorySegment.copy(ALL, from, ALL, to, bytes);
    }

    /** Zeros in so many bytes, a multiple of a vector's. */
    static void clear(long address, long bytes) {
        FloatVector zero = zero();
        for (long end = address + bytes; address < end; address += 4L * L) {
            store(zero, address);
        }
    }

    static void read(long address, float[] to, int at, int length) {
        MemorySegment.copy(ALL, FLOAT, address, to, at, length);
    }

    static void read(long address, byte[] to, int at, int length) {
        MemorySegment.copy(ALL, ValueLayout.JAVA_BYTE, address, to, at, length);
    }

    static void write(float[] from, int at, long address, int length) {
        MemorySegment.copy(from, at, ALL, FLOAT, address, length);
    }

    /** Sum of all lanes in one fixed order, a binary tree. */
    static float sum(FloatVector v) {
        if (L >= 16) {
            v = v.add(v.rearrange(BY_8));
        }
        if (L >= 8) {
            v = v.add(v.rearrange(BY_4));
        }
        if (L >= 4) {
            v = v.add(v.rearrange(BY_2));
        }
        if (L >= 2) {
            v = v.add(v.rearrange(BY_1));
        }
        return v.lane(0);
    }

    /** The greatest of all lanes. */
    static float max(FloatVector v) {
        if (L >= 16) {
            v = v.max(v.rearrange(BY_8));
        }
        if (L >= 8) {
            v = v.max(v.rearrange(BY_4));
        }
        if (L >= 4) {
            v = v.max(v.rearrange(BY_2));
        }
        if (L >= 2) {
            v = v.max(v.rearrange(BY_1));
        }
        return v.lane(0);
    }

    /** The least multiple of the lanes that is not less. */
    static int roundUp(int n) {
        return n + L - 1 & -L;
    }
}
