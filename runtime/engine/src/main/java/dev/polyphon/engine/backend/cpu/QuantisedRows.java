package dev.polyphon.engine.backend.cpu;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.ShortVector;
import jdk.incubator.vector.VectorOperators;

/**
 * Inputs as integers of 16 bits. A record stands for 32 columns of a row: the 32 words, the float that one unit of them is worth, and the sum of the words times that
 * float. The records of all rows for the same columns are next to each other, since tiles take them together: [columns / 32][rows]. Eight bits would lose more than a model bears: its largest activations are hundreds of times the others.
 */
final class QuantisedRows {
    /** Columns in a record. */
    static final int COLUMNS = 32;
    /** Where in a record the scale is, in bytes. */
    static final int SCALE = 64;
    /** Where in a record the scaled sum is. */
    static final int SUM = 68;
    /** Bytes of a record. */
    static final int RECORD = 72;

    private static final int LARGEST = 32767;
    /** Added to a float under 2^22, leaves the nearest integer in the lower bits. */
    private static final float ROUND = 0x1.8p23f;

    private QuantisedRows() {}

    /** Bytes of so many rows and columns, these a multiple of {@link #COLUMNS}, with what tiles may read beyond them. */
    static long bytes(int rows, int columns) {
        return ((long) rows * columns / COLUMNS + Panels.SPARE_ROWS) * RECORD;
    }

    /**
     * Quantises one row of f32.
     *
     * @param to its first record
     * @param stepBytes from one of its records to the next
     */
    static void quantise(long x, int columns, long to, long stepBytes) {
        for (int c = 0; c < columns; c += COLUMNS) {
            record(x + 4L * c, to + c / COLUMNS * stepBytes);
        }
    }

    private static void record(long x, long to) {
        FloatVector most = Lanes.zero();
        for (int i = 0; i < COLUMNS; i += Lanes.L) {
            most = most.max(Lanes.load(x + 4L * i).abs());
        }
        float max = Lanes.max(most);
        // A row that is not finite must not look like one that is.
        float inverse = max > 0x1p-100f ? LARGEST / max : 0;
        float scale = max < Float.POSITIVE_INFINITY ? max / LARGEST : Float.NaN;
        FloatVector sum = Lanes.zero();
        for (int i = 0; i < COLUMNS; i += Lanes.L) {
            FloatVector rounded = Lanes.load(x + 4L * i).fma(Lanes.all(inverse), Lanes.all(ROUND));
            sum = sum.add(rounded.sub(ROUND));
            ShortVector words = (ShortVector) rounded.reinterpretAsInts().convertShape(VectorOperators.I2S, Lanes.S, 0);
            Lanes.storeShorts(words, to + 2L * i);
        }
        Lanes.set(to + SCALE, scale);
        Lanes.set(to + SUM, Lanes.sum(sum) * scale);
    }
}
