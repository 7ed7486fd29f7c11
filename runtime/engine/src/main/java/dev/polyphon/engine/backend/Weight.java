package dev.polyphon.engine.backend;

import dev.polyphon.engine.weights.TensorView;

/** A frozen matrix [out, in] of the kernels that made it, in whatever storage they compute on. */
public interface Weight extends AutoCloseable {
    int out();

    int in();

    /** Bytes held beyond the file's mapping. */
    long bytes();

    /**
     * Checks what {@link Kernels#weight} and {@link Kernels#rows} are given.
     *
     * @throws IllegalArgumentException when the view is no matrix, or has not all the rows
     */
    static void check(TensorView view, int[] rowOrder) {
        if (view.rank() != 2) {
            throw new IllegalArgumentException("a weight has two dimensions, " + view.name() + " is " + view.describe());
        }
        for (int i = 0; rowOrder != null && i < rowOrder.length; i++) {
            if (rowOrder[i] < 0 || rowOrder[i] >= view.dim(0)) {
                throw new IllegalArgumentException("row " + rowOrder[i] + " of " + view.name() + ", which has " + view.dim(0));
            }
        }
    }

    @Override
    void close();
}
