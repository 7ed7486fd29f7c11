package dev.polyphon.engine.schedule;

import dev.polyphon.runtime.Pooling;
import java.util.Arrays;
import java.util.function.Consumer;

/**
 * Pools a prompt's hidden states into one vector. They are added position by position in double precision, so the chunks in which the prompt is read make
 * no difference. Used by the step loop's thread alone.
 */
public final class Pooled {
    private final Pooling pooling;
    private final boolean normalize;
    private final Consumer<float[]> result;
    private final double[] sum;
    private int count;

    /**
     * @param width numbers of a hidden state
     * @param normalize whether the vector is scaled to length 1
     * @param result takes the vector, on the step loop's thread
     */
    public Pooled(Pooling pooling, int width, boolean normalize, Consumer<float[]> result) {
        this.pooling = pooling;
        this.normalize = normalize;
        this.result = result;
        sum = new double[width];
    }

    /** The first position of a sequence's work whose hidden state counts; its end when none does. */
    int first(Work work) {
        Sequence sequence = work.sequence();
        return Math.clamp(pooling == Pooling.MEAN ? sequence.prefixLength() : sequence.length() - 1, work.from(), work.from() + work.rows());
    }

    /** Takes the hidden states of the positions of a sequence's work that count, in order, the first at an offset. */
    void add(Work work, float[] states, int offset) {
        if (work.from() <= work.sequence().prefixLength()) {
            // From the beginning, or again after it was put back.
            Arrays.fill(sum, 0);
            count = 0;
        }
        for (int position = first(work), at = offset; position < work.from() + work.rows(); position++, count++) {
            for (int i = 0; i < sum.length; i++) {
                sum[i] += states[at++];
            }
        }
    }

    /** All have been added. */
    void finish() {
        double square = 0;
        for (int i = 0; i < sum.length; i++) {
            sum[i] /= count;
            square += sum[i] * sum[i];
        }
        double scale = normalize && square > 0 ? 1 / Math.sqrt(square) : 1;
        float[] values = new float[sum.length];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) (sum[i] * scale);
        }
        result.accept(values);
    }
}
