package dev.polyphon.engine.sample;

import static dev.polyphon.runtime.RuntimeFault.Kind.INTERNAL;

import dev.polyphon.runtime.RuntimeFault;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/** Passes over a whole row of logits, by vectors. */
final class Logits {
    /** A multiple of every vector length; the unit of partial sums and of the search for a maximum. */
    static final int BLOCK = 512;

    private static final VectorSpecies<Float> SPECIES = FloatVector.SPECIES_PREFERRED;
    private static final float LOG2_E = 1.4426950408889634f;
    // ln 2 in two parts: the first has few enough digits that its product with an exponent is exact (Cody and Waite 1980).
    private static final float LN2_HIGH = 0.693359375f;
    private static final float LN2_LOW = -2.12194440e-4f;
    /** Below this, e^x is not a normal float. */
    private static final float SMALLEST = -87.3f;

    private Logits() {}

    /**
     * The greatest logit.
     *
     * @throws RuntimeFault when a logit is NaN or positive infinity, or all are negative infinity
     */
    static float max(float[] logits, int from, int length) {
        float max = blockMax(logits, from, length);
        check(max, logits, from, length);
        return max;
    }

    /** The lowest index of the greatest logit, in one pass over the row; faults as {@link #max}. */
    static int argmax(float[] logits, int from, int length) {
        float max = Float.NEGATIVE_INFINITY;
        int start = 0;
        for (int block = 0; block < length; block += BLOCK) {
            float blockMax = blockMax(logits, from + block, Math.min(BLOCK, length - block));
            // Not `>`: a NaN must not be passed over.
            if (!(blockMax <= max)) {
                max = blockMax;
                start = block;
                if (Float.isNaN(max)) {
                    break;
                }
            }
        }
        check(max, logits, from, length);
        int index = start;
        while (logits[from + index] != max) {
            index++;
        }
        return index;
    }

    private static float blockMax(float[] logits, int from, int length) {
        var max = FloatVector.broadcast(SPECIES, Float.NEGATIVE_INFINITY);
        int end = SPECIES.loopBound(length);
        for (int i = 0; i < end; i += SPECIES.length()) {
            max = max.max(FloatVector.fromArray(SPECIES, logits, from + i));
        }
        float result = max.reduceLanes(VectorOperators.MAX);
        for (int i = end; i < length; i++) {
            result = Math.max(result, logits[from + i]);
        }
        return result;
    }

    private static void check(float max, float[] logits, int from, int length) {
        if (Float.isFinite(max)) {
            return;
        }
        if (max == Float.NEGATIVE_INFINITY) {
            throw RuntimeFault.of(INTERNAL, "no token can be chosen: all " + length + " logits are negative infinity");
        }
        for (int i = 0; i < length; i++) {
            if (Float.isNaN(logits[from + i]) || logits[from + i] == Float.POSITIVE_INFINITY) {
                throw RuntimeFault.of(INTERNAL, "no token can be chosen: the logit of token " + i + " is " + logits[from + i]);
            }
        }
    }

    static int blocks(int length) {
        return (length + BLOCK - 1) / BLOCK;
    }

    /**
     * {@code weights[i] = e^((logit[i] - max) * scale)}, and their sums by blocks; weights that are no normal float are 0.
     *
     * @param sums one per {@link #BLOCK} of weights
     * @return the sum of all
     */
    static double exponentials(float[] logits, int from, int length, float max, float scale, float[] weights, double[] sums) {
        double total = 0;
        for (int block = 0; block < length; block += BLOCK) {
            float sum = blockExponentials(logits, from, block, Math.min(block + BLOCK, length), max, scale, weights);
            sums[block / BLOCK] = sum;
            total += sum;
        }
        return total;
    }

    private static float blockExponentials(float[] logits, int from, int start, int end, float max, float scale, float[] weights) {
        var sum = FloatVector.zero(SPECIES);
        int i = start;
        for (; i <= end - SPECIES.length(); i += SPECIES.length()) {
            var weight = exp(FloatVector.fromArray(SPECIES, logits, from + i).sub(max).mul(scale));
            weight.intoArray(weights, i);
            sum = sum.add(weight);
        }
        if (i < end) {
            var rest = SPECIES.indexInRange(i, end);
            var weight = exp(FloatVector.fromArray(SPECIES, logits, from + i, rest).sub(max).mul(scale));
            weight.intoArray(weights, i, rest);
            sum = sum.add(weight, rest);
        }
        return sum(sum);
    }

    /** The lanes in their order: {@code reduceLanes} may take another one when it is compiled, and the same logits would have other probabilities. */
    private static float sum(FloatVector lanes) {
        float sum = 0;
        for (float lane : lanes.toArray()) {
            sum += lane;
        }
        return sum;
    }

    /** e^x for x of at most 0: x = n ln 2 + r, a polynomial for e^r (Cephes, expf), n into the exponent. */
    private static FloatVector exp(FloatVector x) {
        VectorMask<Float> vanishes = x.compare(VectorOperators.LT, SMALLEST);
        x = x.max(SMALLEST);
        // Rounds to nearest, being at most 0.
        var n = x.mul(LOG2_E).sub(0.5f).convert(VectorOperators.F2I, 0);
        var exponent = (FloatVector) n.convert(VectorOperators.I2F, 0);
        var r = exponent.mul(-LN2_HIGH).add(x);
        r = exponent.mul(-LN2_LOW).add(r);
        var p = FloatVector.broadcast(SPECIES, 1.9875691500e-4f);
        p = p.mul(r).add(1.3981999507e-3f);
        p = p.mul(r).add(8.3334519073e-3f);
        p = p.mul(r).add(4.1665795894e-2f);
        p = p.mul(r).add(1.6666665459e-1f);
        p = p.mul(r).add(5.0000001201e-1f);
        p = p.mul(r).mul(r).add(r).add(1f);
        var power = n.reinterpretAsInts().add(127).lanewise(VectorOperators.LSHL, 23).reinterpretAsFloats();
        return p.mul(power).blend(0f, vanishes);
    }
}
