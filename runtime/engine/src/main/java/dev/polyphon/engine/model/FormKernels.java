package dev.polyphon.engine.model;

import dev.polyphon.engine.backend.Kernels;
import dev.polyphon.engine.backend.NormKind;
import dev.polyphon.engine.backend.Owned;
import dev.polyphon.engine.backend.Projection;
import dev.polyphon.engine.backend.Tensor;
import dev.polyphon.engine.backend.Weight;
import dev.polyphon.engine.model.AdapterPlan.Segment;
import dev.polyphon.engine.model.AdapterPlan.Use;
import dev.polyphon.engine.model.Form.Bottleneck;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Applies the forms that are not batched across adapters, each to the rows of its segment, by the kernels' plain operations over scratch rows. Used by
 * the step loop's thread; it owns its scratch.
 */
final class FormKernels implements AutoCloseable {
    private static final float BOTTLENECK_NORM_EPSILON = 1e-5f;

    private final Kernels kernels;
    private final int maxRows;
    private final Owned owned = new Owned();
    private final Map<Integer, List<Tensor>> scratch = new HashMap<>();
    private Probe probe;

    FormKernels(Kernels kernels, int maxRows) {
        this.kernels = kernels;
        this.maxRows = maxRows;
    }

    void watch(Probe by) {
        probe = by;
    }

    /**
     * Applies a form to a segment of a linear module's output.
     *
     * @param x the module's input
     * @param residual the residual stream
     */
    void apply(Use use, Tensor x, Tensor residual) {
        Projection projection = use.projection();
        Tensor y = projection.out();
        int first = use.segment().firstRow();
        int rows = use.segment().rows();
        switch (use.form()) {
            case Form.ScaleShift(Tensor scale, Tensor shift) -> kernels.scaleShift(y, first, rows, scale, shift);
            case Form.PairTurn(int group, Tensor cos, Tensor sin) -> kernels.turnPairs(y, first, rows, group, cos, sin);
            case Form.DenseDelta(Weight delta) -> {
                Tensor product = scratch(y.columns(), 0);
                multiply(rows(x, first, rows, 1), rows, delta, null, product);
                kernels.addRows(product, 0, y, first, rows, 1);
            }
            case Form.InputScale(Tensor scale) -> {
                Tensor scaled = rows(x, first, rows, 1);
                kernels.scaleShift(scaled, 0, rows, scale, null);
                recompute(scaled, projection.weight(), projection.bias(), y, first, rows);
            }
            case Form.InputMatrix(Weight matrix) -> {
                Tensor mapped = scratch(x.columns(), 2);
                multiply(rows(x, first, rows, 1), rows, matrix, null, mapped);
                recompute(mapped, projection.weight(), projection.bias(), y, first, rows);
            }
            case Bottleneck b -> bottleneck(b, x, residual, projection, first, rows);
            case Form.Replacement r -> throw new IllegalStateException("other weights have passes of their own");
            case Form.LowRankDelta d -> throw new IllegalStateException("low-rank deltas are batched");
            case Form.NormReplacement n -> throw new IllegalStateException("a norm's form at a linear module");
            case Form.EmbeddingReplacement e -> throw new IllegalStateException("an embedding's form at a linear module");
            case Form.EmbeddingRows e -> throw new IllegalStateException("an embedding's form at a linear module");
            case Form.EmbeddingDelta e -> throw new IllegalStateException("an embedding's form at a linear module");
        }
    }

    private void bottleneck(Bottleneck b, Tensor x, Tensor residual, Projection projection, int first, int rows) {
        Tensor y = projection.out();
        switch (b.place()) {
            case BEFORE -> {
                Tensor changed = rows(x, first, rows, 2);
                kernels.addRows(bottleneck(b, rows(x, first, rows, 1), rows), 0, changed, 0, rows, b.scale());
                recompute(changed, projection.weight(), projection.bias(), y, first, rows);
            }
            case BESIDE -> kernels.addRows(bottleneck(b, rows(x, first, rows, 1), rows), 0, y, first, rows, b.scale());
            case AFTER -> kernels.addRows(bottleneck(b, rows(y, first, rows, 1), rows), 0, y, first, rows, b.scale());
            case BESIDE_BLOCK -> kernels.addRows(bottleneck(b, rows(residual, first, rows, 1), rows), 0, y, first, rows, b.scale());
            case AFTER_BLOCK -> {
                Tensor sum = rows(residual, first, rows, 1);
                kernels.addRows(y, first, sum, 0, rows, 1);
                kernels.addRows(bottleneck(b, sum, rows), 0, y, first, rows, b.scale());
            }
        }
    }

    /** U f(D v + d) + u; changes {@code v}. */
    private Tensor bottleneck(Bottleneck b, Tensor v, int rows) {
        if (b.normWeight() != null) {
            kernels.norm(NormKind.LAYER, BOTTLENECK_NORM_EPSILON, b.normWeight(), b.normBias(), v.columns(), v, rows, v);
        }
        if (probe != null) {
            probe.reads(b.down(), v, 0, rows);
        }
        Tensor narrow = scratch(b.down().out(), 3);
        multiply(v, rows, b.down(), b.downBias(), narrow);
        if (b.f() != null) {
            kernels.activate(b.f(), narrow, null, rows, narrow);
        }
        Tensor wide = scratch(b.up().out(), 0);
        multiply(narrow, rows, b.up(), b.upBias(), wide);
        return wide;
    }

    /** y's rows, computed anew from other inputs. */
    private void recompute(Tensor inputs, Weight weight, Tensor bias, Tensor y, int first, int rows) {
        Tensor product = scratch(y.columns(), 0);
        multiply(inputs, rows, weight, bias, product);
        kernels.copyRows(product, 0, y, first, rows);
    }

    private void multiply(Tensor x, int rows, Weight weight, Tensor bias, Tensor out) {
        kernels.linear(x, 0, rows, List.of(new Projection(weight, bias, out)));
    }

    /** Changes a segment of the residual stream. */
    void block(Bottleneck form, Segment segment, Tensor x) {
        Tensor v = rows(x, segment.firstRow(), segment.rows(), 1);
        kernels.addRows(bottleneck(form, v, segment.rows()), 0, x, segment.firstRow(), segment.rows(), form.scale());
    }

    /** Normalises a segment's rows with a norm of its own; {@code x} holds them as they were before the base's norm. */
    void norm(Form.NormReplacement norm, NormKind kind, float epsilon, int group, Tensor x, Segment segment, Tensor out) {
        Tensor rows = rows(x, segment.firstRow(), segment.rows(), 1);
        kernels.norm(kind, epsilon, norm.weight(), norm.bias(), group, rows, segment.rows(), rows);
        kernels.copyRows(rows, 0, out, segment.firstRow(), segment.rows());
    }

    /** A copy of all rows, for a norm in place that some segments replace. */
    Tensor saved(Tensor x, int rows) {
        return rows(x, 0, rows, 2);
    }

    /** Applies an embedding's form to a segment of the embedded rows. */
    void embed(Form form, Segment segment, int[] tokens, float embeddingScale, Tensor x) {
        int first = segment.firstRow();
        int rows = segment.rows();
        int[] ids = new int[rows];
        for (int i = 0; i < rows; i++) {
            ids[i] = Math.max(tokens[first + i], 0);
        }
        Tensor wide = scratch(x.columns(), 0);
        switch (form) {
            case Form.EmbeddingReplacement(Weight table) -> {
                kernels.embed(table, ids, rows, embeddingScale, wide);
                kernels.copyRows(wide, 0, x, first, rows);
            }
            case Form.EmbeddingRows(Weight table, Map<Integer, Integer> places) -> {
                for (int i = 0; i < rows; i++) {
                    Integer place = places.get(tokens[first + i]);
                    if (place != null) {
                        kernels.embed(table, new int[] {place}, 1, embeddingScale, wide);
                        kernels.copyRows(wide, 0, x, first + i, 1);
                    }
                }
            }
            case Form.EmbeddingDelta(Weight a, Weight b, float scale) -> {
                Tensor narrow = scratch(a.in(), 3);
                kernels.embed(a, ids, rows, embeddingScale, narrow);
                multiply(narrow, rows, b, null, wide);
                kernels.addRows(wide, 0, x, first, rows, scale);
            }
            default -> throw new IllegalStateException(form + " at the embedding");
        }
    }

    /** A copy of a segment's rows, from row 0 of a scratch tensor on. */
    private Tensor rows(Tensor x, int first, int rows, int slot) {
        Tensor copy = scratch(x.columns(), slot);
        kernels.copyRows(x, first, copy, 0, rows);
        return copy;
    }

    /** Scratch of a width, several of them by slot, made when first needed. */
    private Tensor scratch(int columns, int slot) {
        List<Tensor> slots = scratch.computeIfAbsent(columns, c -> new ArrayList<>());
        while (slots.size() <= slot) {
            slots.add(owned.own(kernels.tensor(maxRows, columns)));
        }
        return slots.get(slot);
    }

    @Override
    public void close() {
        owned.close();
    }
}
