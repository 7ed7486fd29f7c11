package dev.polyphon.engine.merge;

import dev.polyphon.engine.backend.Kernels;
import dev.polyphon.engine.backend.Owned;
import dev.polyphon.engine.backend.Tensor;
import dev.polyphon.engine.backend.Weight;
import dev.polyphon.engine.model.AdapterWeights;
import dev.polyphon.engine.model.Checkpoint;
import dev.polyphon.engine.model.Form;
import dev.polyphon.engine.model.Site;
import dev.polyphon.engine.weights.DType;
import dev.polyphon.engine.weights.TensorView;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * An adapter folded into a private copy of the linear layers it touches. The base's weights are not touched: to unmerge is to use the adapter as it was
 * and to close this.
 *
 * <p>What cannot be folded, or would gain nothing by it, stays as the adapter has it: nonlinear bottlenecks, norms, the embedding, prefixes. The adapter must
 * stay open as long as this is used.
 *
 * @param weights the adapter, its linear layers replaced by the folded ones
 * @param elements elements of the folded matrices
 * @param bytes what the copy takes
 * @param memory the copy's
 */
public record MergedAdapter(AdapterWeights weights, long elements, long bytes, Owned memory) implements AutoCloseable {
    /** Values worked out between two looks at the pace: well below a millisecond of work. */
    private static final int SLICE = 1 << 15;

    /** The sites whose forms are folded. */
    public static List<Site> folded(AdapterWeights adapter) {
        return adapter.sites().stream().filter(site -> site.module().linear() && changes(site, adapter.at(site))).toList();
    }

    /** Whether folding forms changes what is computed: they can be folded, and are not a matrix of their own already. */
    private static boolean changes(Site site, List<Form> forms) {
        return Fold.obstacle(site, forms).isEmpty() && !(forms.size() == 1 && forms.getFirst() instanceof Form.Replacement);
    }

    /** Elements of the matrices at these sites. */
    public static long elements(List<Site> sites, Checkpoint base) {
        return sites.stream().map(site -> StoredLinear.of(base, site)).mapToLong(linear -> (long) linear.out() * linear.in()).sum();
    }

    /** Bytes that copies of the matrices at these sites are going to take, but for what kernels put around them. */
    public static long bytes(List<Site> sites, Checkpoint base, Precision precision) {
        return sites.stream().map(site -> StoredLinear.of(base, site))
                .mapToLong(linear -> precision.type(linear.type(), linear.in()).bytes((long) linear.out() * linear.in())).sum();
    }

    /**
     * Folds an adapter at some of the sites where that is possible. Takes seconds for a large base, mostly in small slices between which it looks at the pace.
     *
     * @param sites of {@link #folded}
     * @param kernels made the adapter, and make the copy
     * @param precision of the copy
     * @throws InterruptedException when the pace is; nothing is left behind then
     * @throws IllegalArgumentException when a weight is too large for F16; nothing is left behind then, either
     */
    public static MergedAdapter fold(AdapterWeights adapter, List<Site> sites, Checkpoint base, Kernels kernels, Precision precision, Pace pace)
            throws InterruptedException {
        Owned memory = new Owned();
        try {
            Fold fold = new Fold(kernels);
            Map<Site, List<Form>> replaced = new HashMap<>();
            long elements = 0;
            long bytes = 0;
            for (Site site : sites) {
                StoredLinear linear = StoredLinear.of(base, site);
                LinearMap map = fold.linear(linear, adapter.at(site));
                pace.rest(0);
                Weight weight = memory.own(weight(site, map, kernels, precision.type(linear.type(), map.in()), pace));
                Tensor bias = map.bias() == null ? null : memory.own(vector(map.bias(), kernels));
                replaced.put(site, List.of(new Form.Replacement(weight, bias)));
                elements += (long) map.out() * map.in();
                bytes += weight.bytes() + (bias == null ? 0 : 4L * bias.columns());
            }
            return new MergedAdapter(adapter.replacing(replaced), elements, bytes, memory);
        } catch (InterruptedException | RuntimeException | Error e) {
            memory.close();
            throw e;
        }
    }

    private static Weight weight(Site site, LinearMap map, Kernels kernels, DType type, Pace pace) throws InterruptedException {
        try (Arena passing = Arena.ofConfined()) {
            MemorySegment data = passing.allocate(type.bytes((long) map.out() * map.in()), 64);
            int most = Math.max(1, Math.min(map.out(), SLICE / map.in()));
            float[] rows = new float[most * map.in()];
            for (int first = 0; first < map.out(); first += most) {
                int count = Math.min(most, map.out() - first);
                map.rows(first, count, rows);
                if (type == DType.F16) {
                    checkRange(site, rows, count * map.in());
                }
                Encoding.write(type, rows, count * map.in(), data, type.bytes((long) first * map.in()));
                pace.rest(count * map.in());
            }
            return kernels.weight(new TensorView("merged", type, new long[] {map.out(), map.in()}, data));
        }
    }

    private static void checkRange(Site site, float[] values, int count) {
        float most = 0;
        for (int i = 0; i < count; i++) {
            most = Math.max(most, Math.abs(values[i]));
        }
        if (!(most <= Encoding.MOST_HALF)) {
            throw new IllegalArgumentException("at " + site + " a merged weight is " + most + ", beyond what F16 holds");
        }
    }

    private static Tensor vector(float[] values, Kernels kernels) {
        Tensor tensor = kernels.tensor(1, values.length);
        kernels.write(tensor, 0, 1, values);
        return tensor;
    }

    @Override
    public void close() {
        memory.close();
    }
}
