package dev.polyphon.engine.model;

/**
 * A rotary position embedding (Su et al. 2021) with its scaling already worked into the frequencies.
 *
 * @param inverseFrequencies radians per position, one for each rotated pair of columns
 * @param magnitude factor of cosine and sine (YaRN's attention factor); 1 otherwise
 * @param interleaved pairs are neighbouring columns (GPT-J) instead of columns half a head apart (GPT-NeoX)
 */
public record RotarySpec(float[] inverseFrequencies, float magnitude, boolean interleaved) {

    /** Plain frequencies {@code theta^(-2i/dimensions)}. */
    public static float[] frequencies(double theta, int dimensions) {
        float[] f = new float[dimensions / 2];
        for (int i = 0; i < f.length; i++) {
            f[i] = (float) (1.0 / Math.pow(theta, 2.0 * i / dimensions));
        }
        return f;
    }

    /** Every position counts for {@code 1/factor} (position interpolation, Chen et al. 2023). */
    public static float[] linear(float[] frequencies, double factor) {
        float[] f = frequencies.clone();
        for (int i = 0; i < f.length; i++) {
            f[i] = (float) (f[i] / factor);
        }
        return f;
    }

    /** Llama 3.1's scaling: long waves are stretched by {@code factor}, short ones kept, those between blended. */
    public static float[] llama3(float[] frequencies, double factor, double lowFactor, double highFactor, double originalContext) {
        float[] f = frequencies.clone();
        for (int i = 0; i < f.length; i++) {
            double wave = 2 * Math.PI / f[i];
            if (wave > originalContext / lowFactor) {
                f[i] = (float) (f[i] / factor);
            } else if (wave > originalContext / highFactor) {
                double smooth = (originalContext / wave - lowFactor) / (highFactor - lowFactor);
                f[i] = (float) ((1 - smooth) * f[i] / factor + smooth * f[i]);
            }
        }
        return f;
    }

    /**
     * YaRN (Peng et al. 2023): interpolation for dimensions that turn fewer than {@code betaSlow} times over the original context, none for those
     * that turn more than {@code betaFast} times, a ramp between.
     */
    public static float[] yarn(double theta, int dimensions, double factor, double betaFast, double betaSlow, double originalContext,
            boolean truncate) {
        double low = correctionDimension(betaFast, dimensions, theta, originalContext);
        double high = correctionDimension(betaSlow, dimensions, theta, originalContext);
        if (truncate) {
            low = Math.floor(low);
            high = Math.ceil(high);
        }
        low = Math.max(low, 0);
        high = Math.min(high, dimensions - 1);
        if (low == high) {
            high += 0.001;
        }
        float[] f = frequencies(theta, dimensions);
        for (int i = 0; i < f.length; i++) {
            double ramp = Math.clamp((i - low) / (high - low), 0, 1);
            f[i] = (float) (f[i] / factor * ramp + f[i] * (1 - ramp));
        }
        return f;
    }

    private static double correctionDimension(double turns, int dimensions, double theta, double originalContext) {
        return dimensions * Math.log(originalContext / (turns * 2 * Math.PI)) / (2 * Math.log(theta));
    }

    /** YaRN's attention factor for a scale. */
    public static float yarnMagnitude(double factor, double multiplier) {
        return (float) (factor <= 1 ? 1 : 0.1 * multiplier * Math.log(factor) + 1);
    }
}
