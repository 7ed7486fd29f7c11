package dev.polyphon.engine.backend;

import dev.polyphon.engine.weights.DType;
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
 * <p><b>Threads.</b> Weights may be made and read back on any thread, also while a step runs; so may tensors that no step writes. All other operations are called by the step loop's thread, one
 * after the other; each has finished, or is ordered before the next, when it returns.
 *
 * <p><b>Steps.</b> A device may collect the operations between {@link #begin} and {@link #end} and run them together, when results are read at the
 * latest. Arrays may be reused as soon as an operation returns.
 *
 * <p><b>Ownership.</b> What is made here is closed by who asked for it, or with the kernels; not between {@link #begin} and {@link #end} when it was used
 * there.
 *
 * <p><b>Memory.</b> What does not fit a device's memory fails with {@link DeviceMemoryException}; everything made before stays as it is.
 */
public interface Kernels extends AutoCloseable {

    /** Device and instruction set, for logs. */
    String describe();

    /** Announces a step: the operations that follow are for the rows of this batch. What an earlier step left unfinished is given up. */
    default void begin(Batch batch) {}

    /** Ends the step; all its operations have finished. */
    default void end() {}

    /** What keys and values are best kept in, F32, F16 or BF16, beside base weights of a type. */
    default DType kvType(DType weights) {
        return DType.F32;
    }

    /** Bytes that are free where the kernels have their memory; what goes beyond them fails. {@link Long#MAX_VALUE} when that is the host's own memory. */
    default long freeBytes() {
        return Long.MAX_VALUE;
    }

    /** Whether the blocks of a {@link #kvCache} take memory only while they are open; otherwise they always do. */
    default boolean kvElastic() {
        return false;
    }

    /**
     * Takes a matrix [out, in] that whole batches are multiplied with: for {@link #linear} and {@link #lowRank}. The view's memory is not needed
     * afterwards.
     *
     * @param view two dimensions; any float or quantised type
     * @param rowOrder row {@code i} of the weight is row {@code rowOrder[i]} of the view; null keeps the order
     */
    Weight weight(TensorView view, int[] rowOrder);

    default Weight weight(TensorView view) {
        return weight(view, null);
    }

    /**
     * Takes a matrix whose rows are wanted by themselves, a few at a time: for {@link #embed}. It may go on reading the view's memory, which must stay mapped as long as the weight lives.
     *
     * @param view two dimensions; any float or quantised type
     * @param rowOrder row {@code i} of the weight is row {@code rowOrder[i]} of the view; null keeps the order
     */
    Weight rows(TensorView view, int[] rowOrder);

    default Weight rows(TensorView view) {
        return rows(view, null);
    }

    /** A zeroed f32 matrix for activations or, with one row, for bias and norm vectors. */
    Tensor tensor(int rows, int columns);

    /** Copies {@code rows * tensor.columns()} values into a tensor, from its row {@code firstRow} on. */
    void write(Tensor tensor, int firstRow, int rows, float[] values);

    /** Copies {@code rows * tensor.columns()} values out of a tensor, from its row {@code firstRow} on. */
    void read(Tensor tensor, int firstRow, int rows, float[] values);

    /**
     * Copies {@code rows * weight.in()} values out of a weight, from its row {@code firstRow} on, as the f32 values that the kernels compute with: for
     * folding adapters into weights, not for steps.
     *
     * @throws UnsupportedOperationException when these kernels cannot
     */
    default void read(Weight weight, int firstRow, int rows, float[] values) {
        throw new UnsupportedOperationException(describe() + " cannot read weights back");
    }

    /** Keys and values of so many blocks of {@code blockSize} positions, for every layer. */
    KvCache kvCache(int layers, int kvHeads, int headDim, int blocks, int blockSize);

    /**
     * The same, of elements of a type.
     *
     * @throws UnsupportedOperationException when it is not one that {@link #kvType} answers
     */
    default KvCache kvCache(int layers, int kvHeads, int headDim, int blocks, int blockSize, DType type) {
        if (type != DType.F32) {
            throw new UnsupportedOperationException(describe() + " keeps keys and values in F32, not " + type);
        }
        return kvCache(layers, kvHeads, headDim, blocks, blockSize);
    }

    /** Cosines and sines for positions 0 to {@code positions - 1}. */
    RotaryTable rotaryTable(float[] inverseFrequencies, float magnitude, int positions);

    /**
     * {@code out[r] = table[ids[r]] * scale} for the first {@code rows} ids.
     *
     * @param table made by {@link #rows}
     */
    void embed(Weight table, int[] ids, int rows, float scale, Tensor out);

    /**
     * Normalises every run of {@code group} columns of every row: the whole row for a layer's norm, a head for query and key norms.
     *
     * @param weight [1, group]; null for none
     * @param bias [1, group]; null for none
     * @param out may be {@code x}
     */
    void norm(NormKind kind, float epsilon, Tensor weight, Tensor bias, int group, Tensor x, int rows, Tensor out);

    /**
     * {@link #add} of {@code addend} to {@code x}, and then {@link #norm(NormKind, float, Tensor, Tensor, int, Tensor, int, Tensor)} of {@code x}, for less.
     *
     * @param addend null for none
     */
    default void norm(NormKind kind, float epsilon, Tensor weight, Tensor bias, int group, Tensor addend, Tensor x, int rows, Tensor out) {
        if (addend != null) {
            add(x, addend, rows);
        }
        norm(kind, epsilon, weight, bias, group, x, rows, out);
    }

    /** {@code projection.out[r] = projection.weight · x[r] + projection.bias} for all projections, which share the input. */
    void linear(Tensor x, int firstRow, int rows, List<Projection> projections);

    /** {@link #linear(Tensor, int, int, List)} and then {@link #lowRank} of some of those rows and outputs, to the same bits, for less. */
    default void linear(Tensor x, int firstRow, int rows, List<Projection> projections, List<LowRank> deltas) {
        linear(x, firstRow, rows, projections);
        lowRank(x, deltas);
    }

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
     * {@link #rotary} of queries and keys, unless {@code table} is null, and then {@link #writeKv}, for less. What is left in {@code keys} is not told.
     */
    default void rotateAndStore(RotaryTable table, boolean interleaved, Tensor queries, Tensor keys, Tensor values, int headDim, KvCache cache, int layer,
            Batch batch) {
        if (table != null) {
            rotary(table, interleaved, queries, batch.rows(), headDim, batch.positions());
            rotary(table, interleaved, keys, batch.rows(), headDim, batch.positions());
        }
        writeKv(cache, layer, keys, values, batch);
    }

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

    /**
     * Chooses a token for each of the first rows, where a device does that itself, so that logits need not be read.
     *
     * @param draws how, one for each row; null leaves the row out
     * @param tokens receives the ids; -1 where none can be chosen: a logit is NaN or positive infinity, or all are negative infinity
     * @return whether it was done; what does not offer it changes nothing
     */
    default boolean sample(Tensor logits, int rows, Draw[] draws, int[] tokens) {
        return false;
    }

    /** {@code out[i] = x[rows[i]]} for the first {@code count} entries. */
    void gather(Tensor x, int[] rows, int count, Tensor out);

    /**
     * {@code out[outRow + i] += factor · x[xRow + i]} for so many rows.
     *
     * <p>This and the operations below serve the rarer adapter forms, on the rows of their own segment. These versions go through host memory and are
     * right on every device; a device overrides what it can do in place.
     */
    default void addRows(Tensor x, int xRow, Tensor out, int outRow, int rows, float factor) {
        float[] from = new float[rows * x.columns()];
        float[] to = new float[from.length];
        read(x, xRow, rows, from);
        read(out, outRow, rows, to);
        for (int i = 0; i < to.length; i++) {
            to[i] += factor * from[i];
        }
        write(out, outRow, rows, to);
    }

    /** {@code out[outRow + i] = x[xRow + i]} for so many rows of tensors with as many columns. */
    default void copyRows(Tensor x, int xRow, Tensor out, int outRow, int rows) {
        float[] values = new float[rows * x.columns()];
        read(x, xRow, rows, values);
        write(out, outRow, rows, values);
    }

    /** {@code x[r] = scale ⊙ x[r] + shift} for so many rows. {@code scale} and {@code shift} are [1, columns]; null leaves that part out. */
    default void scaleShift(Tensor x, int firstRow, int rows, Tensor scale, Tensor shift) {
        int columns = x.columns();
        float[] values = new float[rows * columns];
        float[] factors = new float[columns];
        float[] terms = new float[columns];
        java.util.Arrays.fill(factors, 1);
        if (scale != null) {
            read(scale, 0, 1, factors);
        }
        if (shift != null) {
            read(shift, 0, 1, terms);
        }
        read(x, firstRow, rows, values);
        for (int i = 0; i < values.length; i++) {
            values[i] = factors[i % columns] * values[i] + terms[i % columns];
        }
        write(x, firstRow, rows, values);
    }

    /**
     * Turns pairs of columns: in every group of {@code group} columns, column {@code i} of the first half and its partner half a group further become
     * {@code cos[i]·a − sin[i]·b} and {@code cos[j]·b + sin[j]·a}. {@code cos} and {@code sin} are [1, columns].
     */
    default void turnPairs(Tensor x, int firstRow, int rows, int group, Tensor cos, Tensor sin) {
        int columns = x.columns();
        int half = group / 2;
        float[] values = new float[rows * columns];
        float[] c = new float[columns];
        float[] s = new float[columns];
        read(cos, 0, 1, c);
        read(sin, 0, 1, s);
        read(x, firstRow, rows, values);
        for (int at = 0; at < values.length; at += group) {
            int column = at % columns;
            for (int i = 0; i < half; i++) {
                float a = values[at + i];
                float b = values[at + half + i];
                values[at + i] = c[column + i] * a - s[column + i] * b;
                values[at + half + i] = c[column + half + i] * b + s[column + half + i] * a;
            }
        }
        write(x, firstRow, rows, values);
    }

    @Override
    void close();
}
