package dev.polyphon.engine.verify;

/**
 * What became of a case.
 *
 * @param mode {@code alone}, {@code mixed}, {@code reloaded} or {@code merged}
 * @param error largest difference of a logit; NaN when none was computed
 * @param allowed the tolerance where that difference is
 * @param failure why it failed, or null
 */
public record Verdict(String name, String mode, double error, double allowed, String failure) {
    public boolean passed() {
        return failure == null;
    }
}
