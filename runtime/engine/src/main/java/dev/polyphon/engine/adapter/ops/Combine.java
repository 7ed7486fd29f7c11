package dev.polyphon.engine.adapter.ops;

import dev.polyphon.engine.adapter.AdapterFault;
import dev.polyphon.engine.adapter.Delta;
import dev.polyphon.engine.adapter.Matrix;
import dev.polyphon.engine.adapter.ops.LoraAdapter.Factors;
import dev.polyphon.runtime.OperationProgress;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.TreeMap;
import java.util.TreeSet;

/**
 * One LoRA adapter of several, as PEFT's {@code add_weighted_adapter} computes it: task arithmetic (Ilharco et al. 2023), TIES (Yadav et al. 2023), DARE
 * (Yu et al. 2024), each on A and B by themselves or, with {@code _svd}, on the weight changes, of which the best approximation of a rank is kept.
 */
public final class Combine {

    /** What becomes of each entry. */
    private enum Rule {
        LINEAR, MAGNITUDE_PRUNE, TIES, DARE_LINEAR, DARE_TIES
    }

    /** How adapters are combined; names are those of PEFT, in capitals. */
    public enum Method {
        LINEAR, CAT, SVD, TIES, TIES_SVD, DARE_LINEAR, DARE_LINEAR_SVD, DARE_TIES, DARE_TIES_SVD, MAGNITUDE_PRUNE, MAGNITUDE_PRUNE_SVD;

        /**
         * The method of a name; {@code dare} is DARE as its paper has it, which drops and rescales entries of the changes of weights themselves, not of A and
         * of B: {@link #DARE_LINEAR_SVD}.
         *
         * @throws AdapterFault when there is none
         */
        public static Method of(String name) throws AdapterFault {
            if (name.equalsIgnoreCase("dare")) {
                return DARE_LINEAR_SVD;
            }
            try {
                return valueOf(name.toUpperCase(Locale.ROOT));
            } catch (IllegalArgumentException e) {
                throw new AdapterFault("method " + name + " is not known; methods are dare and " + Arrays.toString(values()).toLowerCase(Locale.ROOT));
            }
        }

        private boolean dense() {
            return this == SVD || name().endsWith("_SVD");
        }

        private Rule rule() {
            return this == SVD || this == CAT ? Rule.LINEAR : Rule.valueOf(name().replace("_SVD", ""));
        }
    }

    /**
     * @param density share of the entries that pruning methods keep
     * @param byFrequency whether TIES elects signs by how many adapters have them, not by their sum
     * @param rank of the results of {@code _svd} methods; 0 for the largest rank among the adapters
     * @param seed of DARE's choice
     */
    public record Options(Method method, double density, boolean byFrequency, int rank, long seed) {
        public Options {
            if (!(density > 0 && density <= 1)) {
                throw new IllegalArgumentException("density must be more than 0 and at most 1, found " + density);
            }
            if (rank < 0) {
                throw new IllegalArgumentException("rank must be 0 or more, found " + rank);
            }
        }
    }

    /** One of the adapters. */
    public record Part(String name, Map<String, Delta> deltas, double weight) {}

    private final Options options;
    private final SplittableRandom random;

    private Combine(Options options) {
        this.options = options;
        this.random = new SplittableRandom(options.seed);
    }

    /** @throws AdapterFault when an adapter is not of low rank, or the ranks do not allow the method */
    public static LoraAdapter of(List<Part> parts, Options options, OperationProgress progress) throws AdapterFault {
        return new Combine(options).combine(parts, progress);
    }

    private LoraAdapter combine(List<Part> parts, OperationProgress progress) throws AdapterFault {
        if (parts.isEmpty()) {
            throw new AdapterFault("there is nothing to combine");
        }
        Set<String> paths = new TreeSet<>();
        parts.forEach(part -> paths.addAll(part.deltas.keySet()));
        int rank = options.rank > 0 ? options.rank : parts.stream().flatMap(p -> p.deltas.values().stream())
                .mapToInt(d -> d instanceof Delta.LowRank l ? l.a().rows() : 0).max().orElse(0);
        Map<String, Factors> modules = new TreeMap<>();
        int done = 0;
        for (String path : paths) {
            progress.at(done++, paths.size());
            Map<Delta, Double> there = new LinkedHashMap<>();
            parts.stream().filter(p -> p.deltas.containsKey(path)).forEach(p -> there.put(p.deltas.get(path), p.weight));
            modules.put(path, options.method.dense() ? dense(path, there, rank) : factored(path, there));
        }
        progress.at(done, paths.size());
        return new LoraAdapter(modules);
    }

    private Factors dense(String path, Map<Delta, Double> deltas, int rank) throws AdapterFault {
        if (rank < 1) {
            throw new AdapterFault("the result's rank must be given: none of the adapters has one at " + path);
        }
        boolean products = deltas.keySet().stream().allMatch(Delta.LowRank.class::isInstance);
        if (options.method == Method.SVD && products) {
            return Decompose.of(concatenated(path, deltas), rank, 1);
        }
        List<Matrix> matrices = deltas.keySet().stream().map(Delta::matrix).toList();
        Matrix sum = entries(matrices, deltas.values().stream().mapToDouble(Double::doubleValue).toArray());
        Matrix.Factors factors = sum.truncatedSvd(rank);
        return new Factors(factors.right(), factors.left());
    }

    private Factors factored(String path, Map<Delta, Double> deltas) throws AdapterFault {
        if (options.method == Method.CAT) {
            return concatenated(path, deltas);
        }
        List<Matrix> as = new ArrayList<>();
        List<Matrix> bs = new ArrayList<>();
        double[] weightsA = new double[deltas.size()];
        double[] weightsB = new double[deltas.size()];
        for (Map.Entry<Delta, Double> entry : deltas.entrySet()) {
            Delta.LowRank delta = lowRank(path, entry.getKey());
            if (!as.isEmpty() && as.getFirst().rows() != delta.a().rows()) {
                throw new AdapterFault("method " + options.method.name().toLowerCase(Locale.ROOT) + " needs adapters of one rank; at " + path + " they are of rank "
                        + as.getFirst().rows() + " and " + delta.a().rows());
            }
            // Each side takes a square root of the factor; the sign goes to one of them.
            double factor = entry.getValue() * delta.scale();
            weightsA[as.size()] = Math.sqrt(Math.abs(factor)) * (factor < 0 ? -1 : 1);
            weightsB[as.size()] = Math.sqrt(Math.abs(factor));
            as.add(delta.a());
            bs.add(delta.b());
        }
        return new Factors(entries(as, weightsA), entries(bs, weightsB));
    }

    private static Factors concatenated(String path, Map<Delta, Double> deltas) throws AdapterFault {
        Factors all = null;
        for (Map.Entry<Delta, Double> entry : deltas.entrySet()) {
            Delta.LowRank delta = lowRank(path, entry.getKey());
            Matrix a = delta.a().times(entry.getValue() * delta.scale());
            all = all == null ? new Factors(a, delta.b()) : new Factors(all.a().above(a), all.b().beside(delta.b()));
        }
        return all;
    }

    private static Delta.LowRank lowRank(String path, Delta delta) throws AdapterFault {
        if (delta instanceof Delta.LowRank low) {
            return low;
        }
        throw new AdapterFault("the change of " + path + " is not of low rank; a method with svd is needed");
    }

    /** The weighted sum of matrices after pruning and the election of signs, entry by entry. */
    private Matrix entries(List<Matrix> matrices, double[] weights) {
        Rule rule = options.method.rule();
        List<Matrix> kept = switch (rule) {
            case LINEAR -> matrices;
            case TIES, MAGNITUDE_PRUNE -> matrices.stream().map(this::largest).toList();
            case DARE_LINEAR, DARE_TIES -> matrices.stream().map(this::randomlyKept).toList();
        };
        boolean elects = rule == Rule.TIES || rule == Rule.DARE_TIES;
        return Matrix.of(matrices.getFirst().rows(), matrices.getFirst().columns(), (r, c) -> {
            double direction = 0;
            for (Matrix matrix : kept) {
                direction += options.byFrequency ? Math.signum(matrix.at(r, c)) : matrix.at(r, c);
            }
            double sign = direction >= 0 ? 1 : -1;
            double sum = 0;
            int agreeing = 0;
            for (int i = 0; i < weights.length; i++) {
                float value = kept.get(i).at(r, c);
                if (!elects || Math.signum(value) == sign) {
                    sum += weights[i] * value;
                    agreeing++;
                }
            }
            return elects ? sum / Math.max(agreeing, 1) : sum;
        });
    }

    private Matrix largest(Matrix matrix) {
        return Prune.largest(matrix, (int) (options.density * matrix.data().length));
    }

    /** Each entry with the density's probability, enlarged by its inverse. */
    private Matrix randomlyKept(Matrix matrix) {
        return Matrix.of(matrix.rows(), matrix.columns(), (r, c) -> random.nextDouble() < options.density ? matrix.at(r, c) / options.density : 0);
    }
}
