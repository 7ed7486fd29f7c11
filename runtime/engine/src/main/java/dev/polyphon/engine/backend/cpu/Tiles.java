package dev.polyphon.engine.backend.cpu;

import jdk.incubator.vector.FloatVector;

/**
 * Register tiles of matrix products: the sums of a few input rows with one panel of outputs are kept in registers while k runs, outputs along the
 * lanes and inputs broadcast (after Goto and van de Geijn 2008).
 *
 * <p>Six rows and two vectors of outputs are what sixteen registers hold, with the panel's two vectors and the broadcast input. A tile must not be
 * larger for another reason, too: C2 stops inlining at 18,000 nodes, and what is not inlined makes an object of every vector.
 *
 * <p>Each sum is one chain of fused multiply-adds in the order of k, whatever the tile, so its bits are always the same.
 */
final class Tiles {
    private static final int WIDTH = Panels.WIDTH;
    private static final int HALF = Lanes.L;
    private static final long STEP = 4L * WIDTH;

    private Tiles() {}

    /**
     * {@code sums[r][j] += Σ x[r][k] · w[k][j]} for one panel.
     *
     * @param w [length][panel width] in f32
     * @param x first of the rows, {@code xBytes} apart
     * @param sums rows of {@link Panels#WIDTH} sums next to each other, from {@code at} on; on the heap, as C2 takes fewer nodes for arrays than for segments
     */
    static void multiply(long w, long x, long xBytes, int rows, int length, float[] sums, int at) {
        int r = 0;
        for (; r + 6 <= rows; r += 6) {
            tile6(w, x + r * xBytes, xBytes, length, sums, at + r * WIDTH);
        }
        if (r + 4 <= rows) {
            tile4(w, x + r * xBytes, xBytes, length, sums, at + r * WIDTH);
            r += 4;
        }
        if (r + 2 <= rows) {
            tile2(w, x + r * xBytes, xBytes, length, sums, at + r * WIDTH);
            r += 2;
        }
        if (r < rows) {
            tile1(w, x + r * xBytes, length, sums, at + r * WIDTH);
        }
    }

    private static void tile6(long w, long x, long xBytes, int length, float[] sums, int at) {
        FloatVector a0 = Lanes.load(sums, at);
        FloatVector b0 = Lanes.load(sums, at + HALF);
        FloatVector a1 = Lanes.load(sums, at + 2 * HALF);
        FloatVector b1 = Lanes.load(sums, at + 3 * HALF);
        FloatVector a2 = Lanes.load(sums, at + 4 * HALF);
        FloatVector b2 = Lanes.load(sums, at + 5 * HALF);
        FloatVector a3 = Lanes.load(sums, at + 6 * HALF);
        FloatVector b3 = Lanes.load(sums, at + 7 * HALF);
        FloatVector a4 = Lanes.load(sums, at + 8 * HALF);
        FloatVector b4 = Lanes.load(sums, at + 9 * HALF);
        FloatVector a5 = Lanes.load(sums, at + 10 * HALF);
        FloatVector b5 = Lanes.load(sums, at + 11 * HALF);
        long x1 = x + xBytes;
        long x2 = x1 + xBytes;
        long x3 = x2 + xBytes;
        long x4 = x3 + xBytes;
        long x5 = x4 + xBytes;
        for (int k = 0; k < length; k++) {
            FloatVector w0 = Lanes.load(w + k * STEP);
            FloatVector w1 = Lanes.load(w + k * STEP + STEP / 2);
            FloatVector v = Lanes.all(Lanes.get(x + 4L * k));
            a0 = w0.fma(v, a0);
            b0 = w1.fma(v, b0);
            v = Lanes.all(Lanes.get(x1 + 4L * k));
            a1 = w0.fma(v, a1);
            b1 = w1.fma(v, b1);
            v = Lanes.all(Lanes.get(x2 + 4L * k));
            a2 = w0.fma(v, a2);
            b2 = w1.fma(v, b2);
            v = Lanes.all(Lanes.get(x3 + 4L * k));
            a3 = w0.fma(v, a3);
            b3 = w1.fma(v, b3);
            v = Lanes.all(Lanes.get(x4 + 4L * k));
            a4 = w0.fma(v, a4);
            b4 = w1.fma(v, b4);
            v = Lanes.all(Lanes.get(x5 + 4L * k));
            a5 = w0.fma(v, a5);
            b5 = w1.fma(v, b5);
        }
        Lanes.store(a0, sums, at);
        Lanes.store(b0, sums, at + HALF);
        Lanes.store(a1, sums, at + 2 * HALF);
        Lanes.store(b1, sums, at + 3 * HALF);
        Lanes.store(a2, sums, at + 4 * HALF);
        Lanes.store(b2, sums, at + 5 * HALF);
        Lanes.store(a3, sums, at + 6 * HALF);
        Lanes.store(b3, sums, at + 7 * HALF);
        Lanes.store(a4, sums, at + 8 * HALF);
        Lanes.store(b4, sums, at + 9 * HALF);
        Lanes.store(a5, sums, at + 10 * HALF);
        Lanes.store(b5, sums, at + 11 * HALF);
    }

    private static void tile4(long w, long x, long xBytes, int length, float[] sums, int at) {
        FloatVector a0 = Lanes.load(sums, at);
        FloatVector b0 = Lanes.load(sums, at + HALF);
        FloatVector a1 = Lanes.load(sums, at + 2 * HALF);
        FloatVector b1 = Lanes.load(sums, at + 3 * HALF);
        FloatVector a2 = Lanes.load(sums, at + 4 * HALF);
        FloatVector b2 = Lanes.load(sums, at + 5 * HALF);
        FloatVector a3 = Lanes.load(sums, at + 6 * HALF);
        FloatVector b3 = Lanes.load(sums, at + 7 * HALF);
        long x1 = x + xBytes;
        long x2 = x1 + xBytes;
        long x3 = x2 + xBytes;
        for (int k = 0; k < length; k++) {
            FloatVector w0 = Lanes.load(w + k * STEP);
            FloatVector w1 = Lanes.load(w + k * STEP + STEP / 2);
            FloatVector v = Lanes.all(Lanes.get(x + 4L * k));
            a0 = w0.fma(v, a0);
            b0 = w1.fma(v, b0);
            v = Lanes.all(Lanes.get(x1 + 4L * k));
            a1 = w0.fma(v, a1);
            b1 = w1.fma(v, b1);
            v = Lanes.all(Lanes.get(x2 + 4L * k));
            a2 = w0.fma(v, a2);
            b2 = w1.fma(v, b2);
            v = Lanes.all(Lanes.get(x3 + 4L * k));
            a3 = w0.fma(v, a3);
            b3 = w1.fma(v, b3);
        }
        Lanes.store(a0, sums, at);
        Lanes.store(b0, sums, at + HALF);
        Lanes.store(a1, sums, at + 2 * HALF);
        Lanes.store(b1, sums, at + 3 * HALF);
        Lanes.store(a2, sums, at + 4 * HALF);
        Lanes.store(b2, sums, at + 5 * HALF);
        Lanes.store(a3, sums, at + 6 * HALF);
        Lanes.store(b3, sums, at + 7 * HALF);
    }

    private static void tile2(long w, long x, long xBytes, int length, float[] sums, int at) {
        FloatVector a0 = Lanes.load(sums, at);
        FloatVector b0 = Lanes.load(sums, at + HALF);
        FloatVector a1 = Lanes.load(sums, at + 2 * HALF);
        FloatVector b1 = Lanes.load(sums, at + 3 * HALF);
        long x1 = x + xBytes;
        for (int k = 0; k < length; k++) {
            FloatVector w0 = Lanes.load(w + k * STEP);
            FloatVector w1 = Lanes.load(w + k * STEP + STEP / 2);
            FloatVector v = Lanes.all(Lanes.get(x + 4L * k));
            a0 = w0.fma(v, a0);
            b0 = w1.fma(v, b0);
            v = Lanes.all(Lanes.get(x1 + 4L * k));
            a1 = w0.fma(v, a1);
            b1 = w1.fma(v, b1);
        }
        Lanes.store(a0, sums, at);
        Lanes.store(b0, sums, at + HALF);
        Lanes.store(a1, sums, at + 2 * HALF);
        Lanes.store(b1, sums, at + 3 * HALF);
    }

    private static void tile1(long w, long x, int length, float[] sums, int at) {
        FloatVector a0 = Lanes.load(sums, at);
        FloatVector b0 = Lanes.load(sums, at + HALF);
        for (int k = 0; k < length; k++) {
            FloatVector w0 = Lanes.load(w + k * STEP);
            FloatVector w1 = Lanes.load(w + k * STEP + STEP / 2);
            FloatVector v = Lanes.all(Lanes.get(x + 4L * k));
            a0 = w0.fma(v, a0);
            b0 = w1.fma(v, b0);
        }
        Lanes.store(a0, sums, at);
        Lanes.store(b0, sums, at + HALF);
    }
}
