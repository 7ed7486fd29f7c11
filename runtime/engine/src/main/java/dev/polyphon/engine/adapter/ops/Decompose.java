package dev.polyphon.engine.adapter.ops;

import dev.polyphon.engine.adapter.AdapterFault;
import dev.polyphon.engine.adapter.Delta;
import dev.polyphon.engine.adapter.Matrix;
import dev.polyphon.engine.adapter.ops.LoraAdapter.Factors;
import dev.polyphon.engine.backend.Kernels;
import dev.polyphon.engine.model.AdapterWeights;
import dev.polyphon.engine.model.Checkpoint;
import dev.polyphon.runtime.OperationProgress;
import java.util.Map;
import java.util.TreeMap;

/** The best LoRA adapter of a rank, or of a share of the squared norm, for changes of weights of any kind. */
public final class Decompose {
    private Decompose() {}

    /**
     * @param adapter the low-rank adapter
     * @param errors what it leaves out by module path, relative to the change's norm
     */
    public record Result(LoraAdapter adapter, Map<String, Double> errors) {}

    /**
     * @param rank most rank of a module; 0 for any
     * @param energy share of the squared norm that is enough; 1 for as much as the rank allows
     */
    public static Result of(Map<String, Delta> deltas, int rank, double energy, OperationProgress progress) {
        check(rank, energy);
        Map<String, Factors> modules = new TreeMap<>();
        Map<String, Double> errors = new TreeMap<>();
        int done = 0;
        for (Map.Entry<String, Delta> entry : deltas.entrySet()) {
            progress.at(done++, deltas.size());
            Factors factors = of(entry.getValue(), rank, energy);
            modules.put(entry.getKey(), factors);
            errors.put(entry.getKey(), error(entry.getValue(), factors));
        }
        progress.at(done, deltas.size());
        return new Result(new LoraAdapter(modules), errors);
    }

    /**
     * The same of an adapter that does more than add to weights, DoRA, IA3 or orthogonal tuning for example: of what it makes of the base's weights, less
     * these. One module at a time is in memory.
     *
     * @param kernels made the adapter
     * @throws AdapterFault when what it does is more than other weights of linear layers, with the reason
     */
    public static Result folded(AdapterWeights adapter, Checkpoint base, Kernels kernels, int rank, double energy, OperationProgress progress)
            throws AdapterFault {
        check(rank, energy);
        FoldedDeltas deltas = FoldedDeltas.of(adapter, base, kernels);
        Map<String, Factors> modules = new TreeMap<>();
        Map<String, Double> errors = new TreeMap<>();
        for (String path : deltas.paths()) {
            progress.at(modules.size(), deltas.paths().size());
            Delta delta = deltas.of(path);
            modules.put(path, of(delta, rank, energy));
            errors.put(path, error(delta, modules.get(path)));
        }
        progress.at(modules.size(), modules.size());
        return new Result(new LoraAdapter(modules), errors);
    }

    private static void check(int rank, double energy) {
        if (!(energy > 0 && energy <= 1) || rank < 0) {
            throw new IllegalArgumentException("energy must be more than 0 and at most 1, and rank 0 or more; found " + energy + " and " + rank);
        }
    }

    private static Factors of(Delta delta, int rank, double energy) {
        int most = rank == 0 ? Integer.MAX_VALUE : rank;
        return switch (delta) {
            case Delta.LowRank low -> of(Factors.of(low), most, energy);
            case Delta.Dense(Matrix matrix) -> {
                Matrix.Factors found = matrix.singular(most, energy);
                yield new Factors(found.right(), found.left());
            }
        };
    }

    private static double error(Delta delta, Factors factors) {
        if (delta instanceof Delta.LowRank low && low.a().rows() <= factors.rank()) {
            return 0;
        }
        Matrix whole = delta.matrix();
        double norm = whole.norm();
        return norm == 0 ? 0 : whole.plus(factors.b().times(factors.a()).times(-1)).norm() / norm;
    }

    /** Of a product, by the decomposition of the product of both triangular factors, which is no larger than its rank. */
    static Factors of(Factors product, int rank, double energy) {
        int inner = product.rank();
        if (inner >= Math.min(product.a().columns(), product.b().rows())) {
            Matrix.Factors found = product.b().times(product.a()).singular(rank, energy);
            return new Factors(found.right(), found.left());
        }
        if (inner <= rank && energy >= 1) {
            return product;
        }
        Matrix.Factors left = product.b().leadingQr(inner);
        Matrix.Factors right = product.a().transposed().leadingQr(inner);
        Matrix.Factors core = left.right().times(right.right().transposed()).singular(rank, energy);
        return new Factors(core.right().times(right.left().transposed()), left.left().times(core.left()));
    }
}
