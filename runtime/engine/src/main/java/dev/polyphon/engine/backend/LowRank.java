package dev.polyphon.engine.backend;

/**
 * A low-rank delta for consecutive rows.
 *
 * @param firstRow first row of the segment
 * @param rows how many
 * @param a [rank, in], made by {@link Kernels#weight} of floats
 * @param b [out, rank], made by {@link Kernels#weight} of floats
 */
public record LowRank(int firstRow, int rows, Weight a, Weight b, float scale, Tensor out) {}
