package dev.polyphon.engine.backend;

/**
 * What attention computes.
 *
 * @param scale factor of the dot products, usually 1/√headDim
 * @param window how many positions back a row sees, itself included; 0 for all
 * @param softCap c in {@code c·tanh(score/c)} (Gemma 2); 0 for none
 * @param alibiSlopes per query head, times the key's position is added to the score (ALiBi, Press et al. 2021); null for none
 */
public record AttentionSpec(int heads, int kvHeads, int headDim, float scale, int window, float softCap, float[] alibiSlopes) {}
