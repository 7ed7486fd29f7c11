package dev.polyphon.bench;

import java.util.Arrays;
import java.util.random.RandomGenerator;

/** Draws 0 to n - 1, number k with a probability proportional to 1 / (k + 1)^exponent. */
final class Zipf {
    private final double[] cumulative;

    Zipf(int n, double exponent) {
        cumulative = new double[n];
        double sum = 0;
        for (int k = 0; k < n; k++) {
            sum += Math.pow(k + 1, -exponent);
            cumulative[k] = sum;
        }
    }

    int next(RandomGenerator random) {
        double u = random.nextDouble() * cumulative[cumulative.length - 1];
        int at = Arrays.binarySearch(cumulative, u);
        return Math.min(cumulative.length - 1, at >= 0 ? at + 1 : -at - 1);
    }
}
