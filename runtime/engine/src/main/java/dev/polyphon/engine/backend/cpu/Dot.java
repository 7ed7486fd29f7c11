package dev.polyphon.engine.backend.cpu;

import jdk.incubator.vector.FloatVector;

/**
 * Dot products along the lanes. Each is one chain of fused multiply-adds over whole vectors and one tree over the lanes, whatever the tile it is
 * computed in, so its bits are always the same.
 */
final class Dot {
    /** Rows of the first operand in a tile. */
    static final int TILE = 4;

    private Dot() {}

    /**
     * {@code out[r][i] = w[i] · x[r]} for {@link #TILE} rows of the first operand.
     *
     * @param w first row; rows are {@code wBytes} apart and padded to whole vectors with zeros
     * @param x first row; rows are {@code xBytes} apart and need no padding with zeros, but memory there
     */
    static void multiply(long w, long wBytes, long x, long xBytes, int rows, int length, long out, long outBytes) {
        int r = 0;
        for (; r + 4 <= rows; r += 4) {
            tile4(w, wBytes, x + r * xBytes, xBytes, length, out + r * outBytes, outBytes);
        }
        for (; r < rows; r++) {
            tile(w, wBytes, x + r * xBytes, length, out + r * outBytes);
        }
    }

    private static void tile(long w, long wBytes, long x, int length, long out) {
        FloatVector s0 = Lanes.zero();
        FloatVector s1 = s0;
        FloatVector s2 = s0;
        FloatVector s3 = s0;
        long w1 = w + wBytes;
        long w2 = w1 + wBytes;
        long w3 = w2 + wBytes;
        for (int i = 0; i < length; i += Lanes.L) {
            long o = 4L * i;
            FloatVector v = load(x + o, length - i);
            s0 = Lanes.load(w + o).fma(v, s0);
            s1 = Lanes.load(w1 + o).fma(v, s1);
            s2 = Lanes.load(w2 + o).fma(v, s2);
            s3 = Lanes.load(w3 + o).fma(v, s3);
        }
        store(s0, s1, s2, s3, out);
    }

    private static void tile4(long w, long wBytes, long x, long xBytes, int length, long out, long outBytes) {
        FloatVector s00 = Lanes.zero();
        FloatVector s01 = s00;
        FloatVector s02 = s00;
        FloatVector s03 = s00;
        FloatVector s10 = s00;
        FloatVector s11 = s00;
        FloatVector s12 = s00;
        FloatVector s13 = s00;
        FloatVector s20 = s00;
        FloatVector s21 = s00;
        FloatVector s22 = s00;
        FloatVector s23 = s00;
        FloatVector s30 = s00;
        FloatVector s31 = s00;
        FloatVector s32 = s00;
        FloatVector s33 = s00;
        long w1 = w + wBytes;
        long w2 = w1 + wBytes;
        long w3 = w2 + wBytes;
        long x1 = x + xBytes;
        long x2 = x1 + xBytes;
        long x3 = x2 + xBytes;
        for (int i = 0; i < length; i += Lanes.L) {
            long o = 4L * i;
            FloatVector v0 = load(x + o, length - i);
            FloatVector v1 = load(x1 + o, length - i);
            FloatVector v2 = load(x2 + o, length - i);
            FloatVector v3 = load(x3 + o, length - i);
            FloatVector r = Lanes.load(w + o);
            s00 = r.fma(v0, s00);
            s10 = r.fma(v1, s10);
            s20 = r.fma(v2, s20);
            s30 = r.fma(v3, s30);
            r = Lanes.load(w1 + o);
            s01 = r.fma(v0, s01);
            s11 = r.fma(v1, s11);
            s21 = r.fma(v2, s21);
            s31 = r.fma(v3, s31);
            r = Lanes.load(w2 + o);
            s02 = r.fma(v0, s02);
            s12 = r.fma(v1, s12);
            s22 = r.fma(v2, s22);
            s32 = r.fma(v3, s32);
            r = Lanes.load(w3 + o);
            s03 = r.fma(v0, s03);
            s13 = r.fma(v1, s13);
            s23 = r.fma(v2, s23);
            s33 = r.fma(v3, s33);
        }
        store(s00, s01, s02, s03, out);
        store(s10, s11, s12, s13, out + outBytes);
        store(s20, s21, s22, s23, out + 2 * outBytes);
        store(s30, s31, s32, s33, out + 3 * outBytes);
    }

    private static FloatVector load(long address, int left) {
        return left >= Lanes.L ? Lanes.load(address) : Lanes.loadFirst(address, left);
    }

    private static void store(FloatVector a, FloatVector b, FloatVector c, FloatVector d, long out) {
        Lanes.set(out, Lanes.sum(a));
        Lanes.set(out + 4, Lanes.sum(b));
        Lanes.set(out + 8, Lanes.sum(c));
        Lanes.set(out + 12, Lanes.sum(d));
    }
}
