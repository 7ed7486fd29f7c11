package dev.polyphon.engine.backend.cpu;

import dev.polyphon.engine.backend.Tensor;
import java.util.Arrays;

/** Rows of f32, each padded to whole vectors. The padding belongs to nobody: any operation may leave anything there. */
final class CpuTensor implements Tensor {
    private final int rows;
    private final int columns;
    private final int stride;
    private final NativeMemory memory;

    CpuTensor(int rows, int columns) {
        if (rows < 0 || columns < 0) {
            throw new IllegalArgumentException("a tensor of " + rows + " rows and " + columns + " columns");
        }
        this.rows = rows;
        this.columns = columns;
        this.stride = stride(columns);
        this.memory = new NativeMemory(4L * rows * stride);
    }

    /** Whole cache lines, and not so round a number that the same columns of a few rows compete for the same sets of a cache. */
    private static int stride(int columns) {
        int whole = columns + 15 & -16;
        return whole % 256 == 0 ? whole + 16 : whole;
    }

    @Override
    public int rows() {
        return rows;
    }

    @Override
    public int columns() {
        return columns;
    }

    /** Bytes from a row to the next. */
    long rowBytes() {
        return 4L * stride;
    }

    /** Where a row starts; 64-byte aligned. */
    long row(int row) {
        return memory.address() + row * rowBytes();
    }

    /** Checks that rows from {@code first} on are there. */
    CpuTensor holding(int first, int count) {
        if (first < 0 || count < 0 || first > rows - count) {
            throw new IndexOutOfBoundsException("rows " + first + " to " + (first + count) + " of a tensor of " + rows + " rows");
        }
        return this;
    }

    /** Checks the width. */
    CpuTensor wide(int least, String what) {
        if (columns < least) {
            throw new IllegalArgumentException(what + " needs " + least + " columns, the tensor has " + columns);
        }
        return this;
    }

    void write(int firstRow, int count, float[] values) {
        holding(firstRow, count);
        for (int r = 0; r < count; r++) {
            Lanes.write(values, r * columns, row(firstRow + r), columns);
        }
    }

    void read(int firstRow, int count, float[] values) {
        holding(firstRow, count);
        for (int r = 0; r < count; r++) {
            Lanes.read(row(firstRow + r), values, r * columns, columns);
        }
    }

    @Override
    public void close() {
        memory.close();
    }

    @Override
    public String toString() {
        float[] first = new float[Math.min(rows, 1) * columns];
        read(0, Math.min(rows, 1), first);
        return "[" + rows + ", " + columns + "] " + Arrays.toString(Arrays.copyOf(first, Math.min(8, first.length)));
    }
}
