package dev.polyphon.engine.backend.cpu;

import dev.polyphon.engine.backend.Weight;
import dev.polyphon.engine.weights.DType;
import dev.polyphon.engine.weights.TensorView;
import java.lang.foreign.MemorySegment;

/** A matrix read row by row where the file's mapping has it; rows in an order of its own or the file's. */
final class CpuRows implements Weight {
    private final DType type;
    private final int out;
    private final int in;
    private final MemorySegment data;
    private final int[] rowOrder;
    private final long rowBytes;
    private boolean closed;

    CpuRows(TensorView view, int[] rowOrder) {
        type = view.dtype();
        in = view.dim(1);
        rowBytes = type.bytes(in);
        data = view.data();
        this.rowOrder = rowOrder == null ? null : rowOrder.clone();
        out = rowOrder == null ? view.dim(0) : rowOrder.length;
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

    DType type() {
        return type;
    }

    /** Checks that the rows can be read. */
    CpuRows open() {
        if (closed || !data.scope().isAlive()) {
            throw new IllegalStateException("the weight or the file it came from is closed");
        }
        return this;
    }

    /** Where a row starts. */
    long row(int row) {
        return data.address() + (rowOrder == null ? row : rowOrder[row]) * rowBytes;
    }

    /** Decodes a row to f32. */
    void decode(int row, long to) {
        RowDecoder.decode(type, row(row), in, to);
    }

    /** Decodes rows, {@code in()} values each. */
    void read(int firstRow, int rows, float[] to) {
        try (NativeMemory decoded = new NativeMemory(4L * Lanes.roundUp(in))) {
            for (int r = 0; r < rows; r++) {
                decode(firstRow + r, decoded.address());
                Lanes.read(decoded.address(), to, r * in, in);
            }
        }
    }

    @Override
    public void close() {
        closed = true;
    }
}
