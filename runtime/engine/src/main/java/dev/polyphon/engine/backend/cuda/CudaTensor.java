package dev.polyphon.engine.backend.cuda;

import dev.polyphon.engine.backend.AddressRange;
import dev.polyphon.engine.backend.Tensor;

/** Rows of f32 in the device's memory, one after the other. */
final class CudaTensor implements Tensor {
    private final AddressRange arena;
    private final int rows;
    private final int columns;
    private final long address;
    private boolean closed;

    CudaTensor(Device device, int rows, int columns) {
        if (rows < 0 || columns < 0) {
            throw new IllegalArgumentException("a tensor of " + rows + " rows and " + columns + " columns");
        }
        this.arena = device.arena();
        this.rows = rows;
        this.columns = columns;
        address = arena.take(bytes(), "a tensor [" + rows + ", " + columns + "]");
        device.clear(address, Math.max(1, bytes()));
    }

    private long bytes() {
        return 4L * rows * columns;
    }

    @Override
    public int rows() {
        return rows;
    }

    @Override
    public int columns() {
        return columns;
    }

    /** Where a row starts. */
    long row(int row) {
        if (closed) {
            throw new IllegalStateException("the tensor is closed");
        }
        return address + 4L * row * columns;
    }

    long address() {
        return row(0);
    }

    static long addressOf(CudaTensor tensor) {
        return tensor == null ? 0 : tensor.address();
    }

    /** Checks that rows from {@code first} on are there. */
    CudaTensor holding(int first, int count) {
        if (first < 0 || count < 0 || first > rows - count) {
            throw new IndexOutOfBoundsException("rows " + first + " to " + (first + count) + " of a tensor of " + rows + " rows");
        }
        return this;
    }

    /** Checks the width. */
    CudaTensor wide(int least, String what) {
        if (columns < least) {
            throw new IllegalArgumentException(what + " needs " + least + " columns, the tensor has " + columns);
        }
        return this;
    }

    @Override
    public void close() {
        if (!closed) {
            closed = true;
            arena.release(address);
        }
    }
}
