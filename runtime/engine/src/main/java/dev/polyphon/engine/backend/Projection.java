package dev.polyphon.engine.backend;

/**
 * One linear layer of several that share an input.
 *
 * @param bias [1, out], or null
 * @param out rows of at least {@code weight.out()} columns; rows of the input go to the same rows here
 */
public record Projection(Weight weight, Tensor bias, Tensor out) {}
