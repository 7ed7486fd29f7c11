package dev.polyphon.engine.backend.cpu;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;

/** Elementary functions from additions and multiplications alone, so that their bits are the same in interpreted and compiled code. */
final class VectorMath {
    static final float LOG2_E = 1.44269504f;
    /** ln 2 in two parts, the first with trailing zeros, so that its product with a small integer is exact (Cody and Waite 1980). */
    static final float LN2_HIGH = 0.693359375f;
    static final float LN2_LOW = -2.12194440e-4f;
    /** Adding it rounds a float of magnitude under 2^22 to an integer in the low bits of the sum. */
    static final float ROUND = 12582912f;
    /** Between these e^x is a normal float. */
    static final float LEAST = -87;
    static final float MOST = 88;
    /** Cephes' polynomial of expf, the highest power first. */
    static final float[] EXP = {1.9875691500e-4f, 1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f};
    private static final float SQRT_HALF = 0.70710678f;
    private static final float SQRT_2_OVER_PI = 0.79788456f;

    private VectorMath() {}

    /** e^x to about 1e-7 of its value, for x held between {@link #LEAST} and {@link #MOST}. */
    static FloatVector exp(FloatVector x) {
        x = x.max(LEAST).min(MOST);
        FloatVector shifted = x.fma(Lanes.all(LOG2_E), Lanes.all(ROUND));
        FloatVector n = shifted.sub(ROUND);
        FloatVector r = n.fma(Lanes.all(-LN2_HIGH), x);
        r = n.fma(Lanes.all(-LN2_LOW), r);
        FloatVector p = Lanes.all(EXP[0]);
        p = p.fma(r, Lanes.all(EXP[1]));
        p = p.fma(r, Lanes.all(EXP[2]));
        p = p.fma(r, Lanes.all(EXP[3]));
        p = p.fma(r, Lanes.all(EXP[4]));
        p = p.fma(r, Lanes.all(EXP[5]));
        p = p.fma(r.mul(r), r).add(1f);
        // n stands in the low bits of the rounded sum: moved to the exponent it multiplies by 2^n.
        return p.reinterpretAsInts().add(shifted.reinterpretAsInts().lanewise(VectorOperators.LSHL, 23)).reinterpretAsFloats();
    }

    static FloatVector sigmoid(FloatVector x) {
        return Lanes.all(1f).div(exp(x.neg()).add(1f));
    }

    /** Cephes' tanhf: a polynomial near zero, where the exponential form cancels. */
    static FloatVector tanh(FloatVector x) {
        FloatVector far = Lanes.all(1f).sub(Lanes.all(2f).div(exp(x.add(x)).add(1f)));
        FloatVector z = x.mul(x);
        FloatVector p = Lanes.all(-5.70498872745e-3f);
        p = p.fma(z, Lanes.all(2.06390887954e-2f));
        p = p.fma(z, Lanes.all(-5.37397155531e-2f));
        p = p.fma(z, Lanes.all(1.33314422036e-1f));
        p = p.fma(z, Lanes.all(-3.33332819422e-1f));
        FloatVector near = p.mul(z).fma(x, x);
        VectorMask<Float> isNear = x.abs().compare(VectorOperators.LT, 0.625f);
        return far.blend(near, isNear);
    }

    /** Complementary error function to about 1.2e-7 of its value (the rational Chebyshev fit of Press et al., Numerical Recipes, 6.2). */
    static FloatVector erfc(FloatVector x) {
        FloatVector z = x.abs();
        FloatVector t = Lanes.all(1f).div(z.fma(Lanes.all(0.5f), Lanes.all(1f)));
        FloatVector p = Lanes.all(0.17087277f);
        p = p.fma(t, Lanes.all(-0.82215223f));
        p = p.fma(t, Lanes.all(1.48851587f));
        p = p.fma(t, Lanes.all(-1.13520398f));
        p = p.fma(t, Lanes.all(0.27886807f));
        p = p.fma(t, Lanes.all(-0.18628806f));
        p = p.fma(t, Lanes.all(0.09678418f));
        p = p.fma(t, Lanes.all(0.37409196f));
        p = p.fma(t, Lanes.all(1.00002368f));
        p = p.fma(t, Lanes.all(-1.26551223f));
        FloatVector positive = t.mul(exp(z.mul(z).neg().add(p)));
        return positive.blend(Lanes.all(2f).sub(positive), x.compare(VectorOperators.LT, 0f));
    }

    static FloatVector gelu(FloatVector x) {
        return x.mul(0.5f).mul(erfc(x.mul(-SQRT_HALF)));
    }

    static FloatVector geluTanh(FloatVector x) {
        FloatVector inner = x.mul(x).mul(0.044715f).fma(x, x).mul(SQRT_2_OVER_PI);
        return x.mul(0.5f).mul(tanh(inner).add(1f));
    }
}
