package dev.polyphon.engine.adapter.ops;

import java.util.Arrays;

/** Optimal transport between two sets of as many points of equal mass. */
final class Assignment {
    private Assignment() {}

    /**
     * The assignment of least total cost, by shortest augmenting paths (Jonker and Volgenant 1987), in cubic time.
     *
     * @param cost [from][to], square
     * @return for each {@code to} the {@code from} that goes there
     */
    static int[] exact(double[][] cost) {
        int n = cost.length;
        double[] u = new double[n + 1];
        double[] v = new double[n + 1];
        int[] match = new int[n + 1];
        int[] way = new int[n + 1];
        for (int row = 1; row <= n; row++) {
            match[0] = row;
            int column = 0;
            double[] least = new double[n + 1];
            Arrays.fill(least, Double.POSITIVE_INFINITY);
            boolean[] used = new boolean[n + 1];
            do {
                used[column] = true;
                int from = match[column];
                double delta = Double.POSITIVE_INFINITY;
                int next = 0;
                for (int j = 1; j <= n; j++) {
                    if (used[j]) {
                        continue;
                    }
                    double reduced = cost[from - 1][j - 1] - u[from] - v[j];
                    if (reduced < least[j]) {
                        least[j] = reduced;
                        way[j] = column;
                    }
                    if (least[j] < delta) {
                        delta = least[j];
                        next = j;
                    }
                }
                for (int j = 0; j <= n; j++) {
                    if (used[j]) {
                        u[match[j]] += delta;
                        v[j] -= delta;
                    } else {
                        least[j] -= delta;
                    }
                }
                column = next;
            } while (match[column] != 0);
            do {
                int before = way[column];
                match[column] = match[before];
                column = before;
            } while (column != 0);
        }
        int[] assigned = new int[n];
        for (int j = 1; j <= n; j++) {
            assigned[j - 1] = match[j] - 1;
        }
        return assigned;
    }

    /**
     * The plan that Sinkhorn's algorithm (Cuturi 2013) finds, in the logarithmic domain: each row and column sums to 1.
     *
     * @param regularisation relative to the mean cost; smaller is closer to an assignment and slower
     */
    static double[][] sinkhorn(double[][] cost, double regularisation, int iterations) {
        int n = cost.length;
        double mean = Arrays.stream(cost).flatMapToDouble(Arrays::stream).average().orElse(0);
        double epsilon = regularisation * (mean > 0 ? mean : 1);
        double[] f = new double[n];
        double[] g = new double[n];
        for (int iteration = 0; iteration < iterations; iteration++) {
            for (int i = 0; i < n; i++) {
                int row = i;
                f[i] = -epsilon * logSum(n, j -> (g[j] - cost[row][j]) / epsilon);
            }
            for (int j = 0; j < n; j++) {
                int column = j;
                g[j] = -epsilon * logSum(n, i -> (f[i] - cost[i][column]) / epsilon);
            }
        }
        double[][] plan = new double[n][n];
        for (int i = 0; i < n; i++) {
            for (int j = 0; j < n; j++) {
                plan[i][j] = Math.exp((f[i] + g[j] - cost[i][j]) / epsilon);
            }
        }
        return plan;
    }

    private static double logSum(int n, java.util.function.IntToDoubleFunction term) {
        double most = Double.NEGATIVE_INFINITY;
        for (int i = 0; i < n; i++) {
            most = Math.max(most, term.applyAsDouble(i));
        }
        double sum = 0;
        for (int i = 0; i < n; i++) {
            sum += Math.exp(term.applyAsDouble(i) - most);
        }
        return most + Math.log(sum);
    }
}
