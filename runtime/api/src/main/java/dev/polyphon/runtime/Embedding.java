package dev.polyphon.runtime;

/**
 * A text as a vector.
 *
 * @param values as many as the model's hidden states have
 * @param tokens of the prompt
 */
public record Embedding(float[] values, int tokens) {}
