package dev.polyphon.engine.model;

import dev.polyphon.engine.backend.Kernels;
import dev.polyphon.engine.backend.Owned;
import dev.polyphon.engine.backend.Tensor;
import dev.polyphon.engine.model.ArchitectureSpec.Experts;
import java.util.Arrays;

/**
 * Sends each row through the experts that its router chose and adds what they give, in the order of the experts, so that a row's sum does not depend
 * on its neighbours. The rows of an expert are gathered, so that its weights are read once for all of them. Used by the step loop's thread.
 */
final class ExpertMixture implements AutoCloseable {
    private final Kernels kernels;
    private final Experts experts;
    private final Owned owned = new Owned();
    private final Tensor scores;
    private final Tensor in;
    private final Tensor out;
    private final float[] hostScores;
    private final float[] zeros;
    /** By expert, then in the order of rows. */
    private final int[][] rowsOf;
    private final float[][] weightsOf;
    private final int[] counts;

    ExpertMixture(Kernels kernels, ArchitectureSpec spec, int maxRows) {
        this.kernels = kernels;
        this.experts = spec.experts();
        scores = owned.own(kernels.tensor(maxRows, experts.count()));
        in = owned.own(kernels.tensor(maxRows, spec.hidden()));
        out = owned.own(kernels.tensor(maxRows, spec.hidden()));
        hostScores = new float[maxRows * experts.count()];
        zeros = new float[maxRows * spec.hidden()];
        rowsOf = new int[experts.count()][maxRows];
        weightsOf = new float[experts.count()][maxRows];
        counts = new int[experts.count()];
    }

    /** Where the router writes its scores, [rows, experts]. */
    Tensor scores() {
        return scores;
    }

    /** Where an expert writes the rows it was given. */
    Tensor expertOut() {
        return out;
    }

    /** Computes one expert. */
    @FunctionalInterface
    interface Expert {
        /**
         * @param input its rows, one after the other
         * @param plan the adapters of these rows
         */
        void forward(int expert, Tensor input, int rows, AdapterPlan plan);
    }

    /** {@code sum[r] = Σ weight · expert(x[r])}, by the scores that are in {@link #scores}. */
    void forward(Tensor x, int rows, AdapterPlan plan, Expert expert, Tensor sum) {
        kernels.read(scores, 0, rows, hostScores);
        Arrays.fill(counts, 0);
        for (int r = 0; r < rows; r++) {
            route(r);
        }
        kernels.write(sum, 0, rows, zeros);
        for (int e = 0; e < counts.length; e++) {
            if (counts[e] == 0) {
                continue;
            }
            kernels.gather(x, rowsOf[e], counts[e], in);
            expert.forward(e, in, counts[e], plan.segments().isEmpty() ? plan : plan.gathered(rowsOf[e], counts[e]));
            for (int i = 0; i < counts[e]; i++) {
                kernels.addRows(out, i, sum, rowsOf[e][i], 1, weightsOf[e][i]);
            }
        }
    }

    /** The softmax over the best scores; of equal ones the first expert's. */
    private void route(int row) {
        int from = row * experts.count();
        double total = 0;
        float best = Float.NEGATIVE_INFINITY;
        for (int e = 0; e < experts.count(); e++) {
            best = Math.max(best, hostScores[from + e]);
        }
        for (int e = 0; e < experts.count(); e++) {
            if (chosen(from, e)) {
                total += Math.exp(hostScores[from + e] - best);
            }
        }
        for (int e = 0; e < experts.count(); e++) {
            if (chosen(from, e)) {
                rowsOf[e][counts[e]] = row;
                weightsOf[e][counts[e]++] = (float) (Math.exp(hostScores[from + e] - best) / total);
            }
        }
    }

    private boolean chosen(int from, int expert) {
        float score = hostScores[from + expert];
        int better = 0;
        for (int e = 0; e < experts.count(); e++) {
            float other = hostScores[from + e];
            if (other > score || other == score && e < expert) {
                better++;
            }
        }
        return better < experts.used();
    }

    @Override
    public void close() {
        owned.close();
    }
}
