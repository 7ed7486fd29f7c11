package dev.polyphon.engine.model;

/**
 * A rotary position embedding (Su et al. 2021) with its scaling already worked into the frequencies.
 *
 * @param inverseFrequencies radians per position, one for each rotated pair of columns
 * @param magnitude factor of cosine and sine (YaRN's attention factor); 1 otherwise
 * @param interleaved pairs are neighbouring columns (GPT-J) instead of columns half a head apart (GPT-NeoX)
 * @param beyond other frequencies for contexts longer than the model was first made for; null where there are none
 */
public record RotarySpec(float[] inverseFrequencies, float magnitude, boolean interleaved, Beyond beyond) {

    /**
     * The frequencies of LongRoPE (Ding et al. 2024) for long contexts. Which ones are used is a matter of the context that sequences may reach, not of how
     * long they are at the moment, so that the keys in the cache never have to be turned again.
     *
     * @param context positions up to which the others hold
     */
    public record Beyond(int context, float[] inverseFrequencies) {}

    /** The same frequencies for any context. */
    public RotarySpec(float[] inverseFrequencies, float magnitude, boolean interleaved) {
        this(inverseFrequencies, magnitude, interleaved, null);
    }

    /** The frequencies where sequences may reach so many positions. */
    public float[] inverseFrequencies(int context) {
        return beyond == null || context <= beyond.context ? inverseFrequencies : beyond.inverseFrequencies;
    }

    /** LongRoPE: each frequency has a divisor of its own. */
    public static float[] divided(float[] frequencies, float[] divisors) {
        float[] f = new float[frequencies.length];
        for (int i = 0; i < f.length; i++) {
            f[i] = frequencies[i] / divisors[i];
        }
        return f;
    }

    /** LongRoPE's factor of cosine and sine, for a context that is {@code factor} times the original one. */
    public static float longMagnitude(double factor, double originalContext) {
        return (float) (factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(originalContext)));
    }

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
