package dev.polyphon.engine.backend;

/**
 * How one token is chosen from a row of logits: of the {@code topK} greatest, the fewest whose probabilities reach {@code topP} of theirs, without those
 * below {@code minP} of the greatest, one is drawn.
 *
 * @param temperature divides the logits; 0 for the lowest id of the greatest logit
 * @param topK 0 for all
 * @param topP 1 for all
 * @param minP 0 for all
 * @param uniform the random number from [0, 1) that decides, along the ids in ascending order
 */
public record Draw(float temperature, int topK, float topP, float minP, double uniform) {}
