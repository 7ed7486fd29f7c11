package dev.polyphon.engine.adapter;

/** Matrices stored smaller than their values: pruned by a mask, or as one bit each. Bits are packed low bit first, row by row. */
final class PackedTensors {
    private static final int MOST_ELEMENTS = 1 << 28;

    private PackedTensors() {}

    /** {@code .mask}, {@code .values} (those kept, in order) and {@code .shape}. */
    static Matrix masked(AdapterTensors tensors, String name) throws AdapterFault {
        int[] shape = shape(tensors, name);
        int elements = shape[0] * shape[1];
        float[] mask = tensors.values(name + ".mask", (elements + 7) / 8);
        float[] kept = tensors.values(name + ".values", -1);
        float[] data = new float[elements];
        int next = 0;
        for (int i = 0; i < elements; i++) {
            if (bit(mask, i)) {
                if (next == kept.length) {
                    throw new AdapterFault("tensor " + name + ".values has " + kept.length + " values, its mask keeps more");
                }
                data[i] = kept[next++];
            }
        }
        if (next != kept.length) {
            throw new AdapterFault("tensor " + name + ".values has " + kept.length + " values, its mask keeps " + next);
        }
        return new Matrix(shape[0], shape[1], data);
    }

    /** {@code .bits}, {@code .levels} (what 0 and 1 stand for) and {@code .shape}. */
    static Matrix oneBit(AdapterTensors tensors, String name) throws AdapterFault {
        int[] shape = shape(tensors, name);
        int elements = shape[0] * shape[1];
        float[] bits = tensors.values(name + ".bits", (elements + 7) / 8);
        float[] levels = tensors.values(name + ".levels", 2);
        float[] data = new float[elements];
        for (int i = 0; i < elements; i++) {
            data[i] = levels[bit(bits, i) ? 1 : 0];
        }
        return new Matrix(shape[0], shape[1], data);
    }

    private static boolean bit(float[] bytes, int i) {
        return ((int) bytes[i / 8] >> i % 8 & 1) != 0;
    }

    private static int[] shape(AdapterTensors tensors, String name) throws AdapterFault {
        float[] shape = tensors.values(name + ".shape", 2);
        if (!(shape[0] >= 1 && shape[1] >= 1 && (double) shape[0] * shape[1] <= MOST_ELEMENTS)) {
            throw new AdapterFault("tensor " + name + ".shape says [" + shape[0] + ", " + shape[1] + "]");
        }
        return new int[] {(int) shape[0], (int) shape[1]};
    }
}
