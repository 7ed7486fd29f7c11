package dev.polyphon.engine.merge;

import dev.polyphon.engine.model.Checkpoint;
import dev.polyphon.engine.model.Checkpoint.Stored;
import dev.polyphon.engine.model.Module;
import dev.polyphon.engine.model.Site;
import dev.polyphon.engine.weights.DType;
import dev.polyphon.engine.weights.Floats;
import dev.polyphon.engine.weights.TensorView;

/** A linear layer, or the embedding's table, as the base's checkpoint has it, dequantised. Readable as long as the checkpoint is open, on any thread. */
public final class StoredLinear implements LinearMap {
    private final TensorView weight;
    private final int[] order;
    private final boolean transposed;
    private final float[] bias;
    private final int out;
    private final int in;
    /** The whole matrix where rows lie across the file's; null otherwise. */
    private float[] columns;

    private StoredLinear(Stored stored) {
        weight = stored.weight();
        order = stored.rows();
        transposed = stored.transposed();
        in = weight.dim(transposed ? 0 : 1);
        out = order == null ? weight.dim(transposed ? 1 : 0) : order.length;
        bias = stored.bias() == null ? null : inOrder(Floats.all(stored.bias()));
    }

    /**
     * What stands at a site. A head that is the embedding is read from there.
     *
     * @throws IllegalArgumentException when the base has nothing there
     */
    public static StoredLinear of(Checkpoint base, Site site) {
        Site place = site.module() == Module.HEAD && base.spec().tied() ? Site.of(Module.EMBED) : site;
        return new StoredLinear(base.required(place));
    }

    /** How the checkpoint stores it. */
    public DType type() {
        return weight.dtype();
    }

    private float[] inOrder(float[] values) {
        if (order == null) {
            return values;
        }
        float[] selected = new float[order.length];
        for (int i = 0; i < selected.length; i++) {
            selected[i] = values[order[i]];
        }
        return selected;
    }

    @Override
    public int out() {
        return out;
    }

    @Override
    public int in() {
        return in;
    }

    @Override
    public void rows(int first, int count, float[] to) {
        if (transposed) {
            across(first, count, to);
            return;
        }
        for (int r = 0; r < count; r++) {
            int row = order == null ? first + r : order[first + r];
            Floats.read(weight, (long) row * in, to, r * in, in);
        }
    }

    private synchronized void across(int first, int count, float[] to) {
        if (columns == null) {
            columns = Floats.all(weight);
        }
        int width = weight.dim(1);
        for (int r = 0; r < count; r++) {
            int column = order == null ? first + r : order[first + r];
            for (int k = 0; k < in; k++) {
                to[r * in + k] = columns[k * width + column];
            }
        }
    }

    @Override
    public float[] bias() {
        return bias;
    }
}
