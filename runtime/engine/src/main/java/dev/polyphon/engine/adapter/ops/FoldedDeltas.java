package dev.polyphon.engine.adapter.ops;

import dev.polyphon.engine.adapter.AdapterFault;
import dev.polyphon.engine.adapter.Delta;
import dev.polyphon.engine.adapter.Matrix;
import dev.polyphon.engine.backend.Kernels;
import dev.polyphon.engine.merge.Fold;
import dev.polyphon.engine.merge.LinearMap;
import dev.polyphon.engine.merge.StoredLinear;
import dev.polyphon.engine.model.AdapterWeights;
import dev.polyphon.engine.model.Checkpoint;
import dev.polyphon.engine.model.Form;
import dev.polyphon.engine.model.Layout;
import dev.polyphon.engine.model.Site;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/** What an adapter comes to as changes of weights, by module path as the base's checkpoints have it, worked out when it is asked for. */
final class FoldedDeltas {
    /** Biases that differ by no more, relative to the larger, are one: some forms scale a bias and put it right again. */
    private static final float SAME = 1e-5f;

    private final AdapterWeights adapter;
    private final Checkpoint base;
    private final Fold fold;
    private final Map<String, List<Layout.Part>> modules = new TreeMap<>();

    private FoldedDeltas(AdapterWeights adapter, Checkpoint base, Kernels kernels) {
        this.adapter = adapter;
        this.base = base;
        this.fold = new Fold(kernels);
    }

    /** @throws AdapterFault when it is more than other weights of linear layers */
    static FoldedDeltas of(AdapterWeights adapter, Checkpoint base, Kernels kernels) throws AdapterFault {
        List<String> obstacles = Fold.obstacles(adapter);
        if (!obstacles.isEmpty()) {
            throw new AdapterFault(obstacles.getFirst());
        }
        for (Site site : adapter.sites()) {
            if (!site.module().linear()) {
                throw new AdapterFault(site + " is not a linear layer");
            }
        }
        FoldedDeltas deltas = new FoldedDeltas(adapter, base, kernels);
        base.layout().parts(base.spec()).forEach((path, parts) -> {
            if (parts.stream().anyMatch(part -> !adapter.at(part.site()).isEmpty())) {
                deltas.modules.put(path, parts);
            }
        });
        return deltas;
    }

    Set<String> paths() {
        return modules.keySet();
    }

    /** @throws AdapterFault when a bias is changed, too */
    Delta of(String path) throws AdapterFault {
        List<Layout.Part> parts = modules.get(path);
        int in = base.spec().in(parts.getFirst().site().module());
        int out = parts.stream().mapToInt(part -> base.spec().out(part.site().module())).sum();
        Matrix whole = new Matrix(out, in, new float[Math.multiplyExact(out, in)]);
        float[] before = new float[in];
        for (Layout.Part part : parts) {
            List<Form> forms = adapter.at(part.site());
            if (forms.isEmpty()) {
                continue;
            }
            LinearMap plain = StoredLinear.of(base, part.site());
            LinearMap folded = fold.linear(plain, forms);
            if (!same(plain.bias(), folded.bias())) {
                throw new AdapterFault("at " + part.site() + " it changes the bias");
            }
            float[] after = new float[in];
            for (int r = 0; r < plain.out(); r++) {
                plain.rows(r, 1, before);
                folded.rows(r, 1, after);
                int row = (part.rows() == null ? r : part.rows()[r]) * in;
                for (int c = 0; c < in; c++) {
                    whole.data()[row + c] = after[c] - before[c];
                }
            }
        }
        return new Delta.Dense(whole);
    }

    private static boolean same(float[] one, float[] other) {
        int length = one != null ? one.length : other != null ? other.length : 0;
        for (int i = 0; i < length; i++) {
            float a = one == null ? 0 : one[i];
            float b = other == null ? 0 : other[i];
            if (Math.abs(a - b) > SAME * Math.max(Math.abs(a), Math.abs(b))) {
                return false;
            }
        }
        return true;
    }
}
