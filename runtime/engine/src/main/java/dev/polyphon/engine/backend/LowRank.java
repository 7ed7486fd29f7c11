package dev.polyphon.engine.backend;

/**
 * A low-rank delta for consecutive rows.
 *
 * @param firstRow first row of the segment
 * @param rows how many
 * @param a [rank, in], made by {@link Kernels#rows}
 * @param b [out, rank], made by {@link Kernels#weight}
 */
public record LowRank(int firstRow, int rows, Weight a, Weight b, float scale, Tensor out) {}
