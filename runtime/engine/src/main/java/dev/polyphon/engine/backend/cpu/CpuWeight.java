package dev.polyphon.engine.backend.cpu;

import dev.polyphon.engine.backend.Weight;
import dev.polyphon.engine.weights.DType;
import dev.polyphon.engine.weights.TensorView;
import java.lang.foreign.MemorySegment;

/** A matrix read where the file's mapping has it; rows in an order of its own or the file's. */
final class CpuWeight implements Weight {
    private final DType type;
    private final int out;
    private final int in;
    private final MemorySegment data;
    private final int[] rowOrder;
    private final long rowBytes;
    private boolean closed;

    CpuWeight(TensorView view, int[] rowOrder) {
        if (view.rank() != 2) {
            throw new IllegalArgumentException("a weight has two dimensions, " + view.name() + " is " + view.describe());
        }
        if (!view.data().isNative()) {
            throw new IllegalArgumentException("the bytes of " + view.name() + " are on the heap, weights are read from native memory");
        }
        type = view.dtype();
        in = view.dim(1);
        rowBytes = type.bytes(in);
        data = view.data();
        this.rowOrder = rowOrder == null ? null : rowOrder.clone();
        out = rowOrder == null ? view.dim(0) : rowOrder.length;
        if (rowOrder != null) {
            for (int row : rowOrder) {
                if (row < 0 || row >= view.dim(0)) {
                    throw new IllegalArgumentException("row " + row + " of " + view.name() + ", which has " + view.dim(0));
                }
            }
        }
        // Says so now if it is no type of weights.
        RowDecoder.decode(type, 0, 0, 0);
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
    public long bytes() {
        return rowOrder == null ? 0 : 4L * rowOrder.length;
    }

    /** Checks that the weight can be read. */
    CpuWeight open() {
        if (closed || !data.scope().isAlive()) {
            throw new IllegalStateException("the weight or the file it came from is closed");
        }
        return this;
    }

    /** Decodes a row; the destination must have room for whole vectors. */
    void decodeRow(int row, long to) {
        int source = rowOrder == null ? row : rowOrder[row];
        RowDecoder.decode(type, data.address() + source * rowBytes, in, to);
    }

    @Override
    public void close() {
        closed = true;
    }
}
