package dev.polyphon.engine.adapter.ops;

import dev.polyphon.engine.merge.Encoding;
import dev.polyphon.engine.merge.LinearMap;
import dev.polyphon.engine.weights.DType;
import dev.polyphon.engine.weights.Floats;
import dev.polyphon.engine.weights.OutgoingTensor;
import dev.polyphon.engine.weights.TensorView;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.channels.WritableByteChannel;
import java.util.Arrays;

/** A matrix of a checkpoint, or several along an outer dimension, some of whose rows are to be others. Worked out in slices when it is written. */
final class EditedTensor {
    private static final int SLICE = 1 << 18;

    private final TensorView stored;
    private final boolean transposed;
    private final int width;
    private final LinearMap[] maps;
    private final int[] places;

    /** @param transposed whether a map's rows lie across */
    EditedTensor(TensorView stored, boolean transposed) {
        this.stored = stored;
        this.transposed = transposed;
        int inner = stored.dim(stored.rank() - 1);
        int outer = Math.toIntExact(stored.elements() / inner);
        width = transposed ? outer : inner;
        maps = new LinearMap[transposed ? inner : outer];
        places = new int[maps.length];
    }

    /**
     * Puts a map's rows in the place of the file's.
     *
     * @param first row of the file that those of the module are counted from
     * @param rows of the module in the file, in the map's order; null for all, in the file's
     */
    void put(LinearMap map, int first, int[] rows) {
        for (int i = 0; i < map.out(); i++) {
            int row = first + (rows == null ? i : rows[i]);
            maps[row] = map;
            places[row] = i;
        }
    }

    OutgoingTensor outgoing(DType type, Runnable betweenSlices) {
        return new OutgoingTensor(stored.name(), type, stored.shape(), channel -> {
            if (transposed) {
                writeAcross(type, channel);
            } else {
                write(type, channel, betweenSlices);
            }
        });
    }

    private void write(DType type, WritableByteChannel channel, Runnable betweenSlices) throws IOException {
        int most = Math.clamp(SLICE / width, 1, maps.length);
        float[] values = new float[most * width];
        float[] run = new float[most * width];
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment encoded = arena.allocate(type.bytes((long) most * width));
            for (int first = 0; first < maps.length; first += most) {
                int count = Math.min(most, maps.length - first);
                Floats.read(stored, (long) first * width, values, 0, count * width);
                fill(first, count, values, run);
                Encoding.write(type, values, count * width, encoded, 0);
                OutgoingTensor.write(channel, encoded.asSlice(0, type.bytes((long) count * width)));
                betweenSlices.run();
            }
        }
    }

    /** Overwrites edited rows, as many at once as follow each other in their map. */
    private void fill(int first, int count, float[] values, float[] run) {
        for (int r = 0; r < count; ) {
            LinearMap map = maps[first + r];
            int length = 1;
            while (r + length < count && maps[first + r + length] == map && places[first + r + length] == places[first + r] + length) {
                length++;
            }
            if (map != null) {
                map.rows(places[first + r], length, run);
                System.arraycopy(run, 0, values, r * width, length * width);
            }
            r += map == null ? 1 : length;
        }
    }

    private void writeAcross(DType type, WritableByteChannel channel) throws IOException {
        float[] values = Floats.all(stored);
        float[] row = new float[width];
        for (int column = 0; column < maps.length; column++) {
            if (maps[column] != null) {
                maps[column].rows(places[column], 1, row);
                for (int i = 0; i < width; i++) {
                    values[i * maps.length + column] = row[i];
                }
            }
        }
        write(type, values, channel);
    }

    static void write(DType type, float[] values, WritableByteChannel channel) throws IOException {
        MemorySegment encoded = MemorySegment.ofArray(new byte[Math.toIntExact(type.bytes(values.length))]);
        Encoding.write(type, values, values.length, encoded, 0);
        OutgoingTensor.write(channel, encoded);
    }

    /** Whether two maps have the same rows. */
    static boolean same(LinearMap a, LinearMap b) {
        if (a.out() != b.out() || a.in() != b.in()) {
            return false;
        }
        int most = Math.clamp(SLICE / a.in(), 1, a.out());
        float[] x = new float[most * a.in()];
        float[] y = new float[most * a.in()];
        for (int first = 0; first < a.out(); first += most) {
            int count = Math.min(most, a.out() - first);
            a.rows(first, count, x);
            b.rows(first, count, y);
            if (!Arrays.equals(x, 0, count * a.in(), y, 0, count * a.in())) {
                return false;
            }
        }
        return true;
    }
}
