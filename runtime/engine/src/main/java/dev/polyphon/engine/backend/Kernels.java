package dev.polyphon.engine.backend;

import dev.polyphon.engine.weights.TensorView;
import java.util.List;

/**
 * The operations a device offers to the decoder, each over the ragged rows of one batch. Tensors, weights and caches are opaque: only the
 * kernels that made them can read them.
 *
 * <p><b>Rows are independent.</b> What an operation computes for a row depends on that row (and, in attention, on its own sequence) alone, bit
 * for bit: not on how many rows there are, where the row stands, or how work is split over threads. Batch independence of the whole engine rests
 * on this.
 *
 * <p><b>Threads.</b> Weights may be made on any thread, also while a step runs. All other operations are called by the step loop's thread, one
 * after the other; each has finished, or is ordered before the next, when it returns.
 *
 * <p><b>Ownership.</b> What is made here is closed by who asked for it, or with the kernels.
 */
public interface Kernels extends AutoCloseable {

    /** Device and instruction set, for logs. */
    String describe();

    /**
     * Takes a matrix [out, in] for {@link #linear}, {@link #lowRank} and {@link #embed}. It may go on reading the view's memory, which must stay
     * mapped as long as the weight lives.
     *
     * @param view two dimensions; any float or quantised type
     * @param rowOrder row {@code i} of the weight is row {@code rowOrder[i]} of the view; null keeps the order
     */
    Weight weight(TensorView view, int[] rowOrder);

    default Weight weight(TensorView view) {
        return weight(view, null);
    }

    /** A zeroed f32 matrix for activations or, with one row, for bias and norm vectors. */
    Tensor tensor(int rows, int columns);

    /** Copies {@code rows * tensor.columns()} values into a tensor, from its row {@code firstRow} on. */
    void write(Tensor tensor, int firstRow, int rows, float[] values);

    /** Copies {@code rows * tensor.columns()} values out of a tensor, from its row {@code firstRow} on. */
    void read(Tensor tensor, int firstRow, int rows, float[] values);

    /** Keys and values of so many blocks of {@code blockSize} positions, for every layer. */
    KvCache kvCache(int layers, int kvHeads, int headDim, int blocks, int blockSize);

    /** Cosines and sines for positions 0 to {@code positions - 1}. */
    RotaryTable rotaryTable(float[] inverseFrequencies, float magnitude, int positions);

    /** {@code out[r] = table[ids[r]] * scale} for the first {@code rows} ids. */
    void embed(Weight table, int[] ids, int rows, float scale, Tensor out);

    /**
     * Normalises every run of {@code group} columns of every row: the whole row for a layer's norm, a head for query and key norms.
     *
     * @param weight [1, group]; null for none
     * @param bias [1, group]; null for none
     * @param out may be {@code x}
     */
    void norm(NormKind kind, float epsilon, Tensor weight, Tensor bias, int group, Tensor x, int rows, Tensor out);

    /** {@code projection.out[r] = projection.weight · x[r] + projection.bias} for all projections, which share the input. */
    void linear(Tensor x, int firstRow, int rows, List<Projection> projections);

    /**
     * {@code out[r] += scale · B (A x[r])} for the rows of each item: the low-rank deltas of all adapters and projections that share an input,
     * ranks mixed (segmented gather, after SGMV in Punica, Chen et al. 2023). Items with the same output do not overlap in rows.
     */
    void lowRank(Tensor x, List<LowRank> items);

    /**
     * Rotates the first {@code 2 * table.pairs()} columns of each head in place (RoPE, Su et al. 2021).
     *
     * @param positions position of each row
     * @param interleaved pairs are columns (2i, 2i+1) instead of (i, i + pairs)
     */
    void rotary(RotaryTable table, boolean interleaved, Tensor x, int rows, int headDim, int[] positions);

    /** Stores each row's key and value at its position in its sequence's blocks. */
    void writeKv(KvCache cache, int layer, Tensor keys, Tensor values, Batch batch);

    /**
     * Causal attention of each row over its own sequence's positions up to and including its own (paged attention, Kwon et al. 2023). Query heads
     * share KV heads evenly.
     *
     * @param queries [rows, heads · headDim]
     * @param out like {@code queries}
     */
    void attention(AttentionSpec spec, Tensor queries, KvCache cache, int layer, Batch batch, Tensor out);

    /** {@code out = f(gate) · up}, or {@code f(gate)} when {@code up} is null; {@code out} may be {@code gate}. */
    void activate(Activation f, Tensor gate, Tensor up, int rows, Tensor out);

    /** {@code x += y}. */
    void add(Tensor x, Tensor y, int rows);

    /** {@code out[i] = x[rows[i]]} for the first {@code count} entries. */
    void gather(Tensor x, int[] rows, int count, Tensor out);

    @Override
    void close();
}
