package dev.polyphon.engine.adapter.ops;

import dev.polyphon.engine.adapter.AdapterFault;
import dev.polyphon.engine.adapter.AdapterFolder;
import dev.polyphon.engine.adapter.Matrix;
import dev.polyphon.engine.weights.Floats;
import dev.polyphon.engine.weights.TensorView;
import dev.polyphon.runtime.OperationProgress;
import java.io.IOException;
import java.util.Map;

/**
 * MerA (He et al. 2023): the neurons of a second adapter's bottleneck are brought into the order of the first's by optimal transport, and both are
 * averaged. For bottleneck adapters and LoRA, whose ranks are the neurons then.
 */
public final class AlignMerge {
    private static final double REGULARISATION = 0.005;
    private static final int ITERATIONS = 500;

    private AlignMerge() {}

    /** Names of a bottleneck's tensors in a family. */
    private record Names(String down, String downBias, String up) {}

    private static final Map<String, Names> KINDS = Map.of(
            "BOTTLENECK", new Names(".adapter_down.weight", ".adapter_down.bias", ".adapter_up.weight"),
            "LORA", new Names(".lora_A.weight", null, ".lora_B.weight"));

    /**
     * @param sinkhorn whether the transport is Sinkhorn's plan, not the exact assignment
     * @param weight of the first adapter in the average, 0 to 1
     * @param inputs rows of inputs of modules, by the stem of their tensors' names: neurons are compared by what they compute on them where there are
     *     some, by their weights otherwise
     */
    public record Options(boolean sinkhorn, double weight, Map<String, Matrix> inputs) {
        public Options {
            if (!(weight >= 0 && weight <= 1)) {
                throw new IllegalArgumentException("weight must be 0 to 1, found " + weight);
            }
        }
    }

    /** @throws AdapterFault when the adapters are not of one family, options and shape */
    public static SavedAdapter of(AdapterFolder first, AdapterFolder second, Options options, OperationProgress progress) throws IOException {
        Names names = KINDS.get(first.kind());
        if (names == null || !second.kind().equals(first.kind())) {
            throw new AdapterFault("adapters of kinds " + first.kind() + " and " + second.kind() + " cannot be aligned; two of LORA or two of BOTTLENECK can");
        }
        for (String key : new String[] {"r", "lora_alpha", "use_rslora", "bottleneck_size", "non_linearity", "use_parallel_adapter", "scaling",
            "quantization", "use_dora"}) {
            if (!first.config().path(key).equals(second.config().path(key))) {
                throw new AdapterFault("the adapters differ in " + key + ": " + first.config().path(key) + " and " + second.config().path(key));
            }
        }
        SavedAdapter one = SavedAdapter.read(first);
        SavedAdapter two = SavedAdapter.read(second);
        if (!one.tensors().keySet().equals(two.tensors().keySet())) {
            throw new AdapterFault("the adapters are not of the same modules");
        }
        SavedAdapter merged = new SavedAdapter(one.config());
        int done = 0;
        for (TensorView tensor : one.tensors().values()) {
            progress.at(done++, one.tensors().size());
            String name = tensor.name();
            if (!java.util.Arrays.equals(tensor.shape(), two.tensors().get(name).shape())) {
                throw new AdapterFault("tensor " + name + " is " + tensor.describe() + " and " + two.tensors().get(name).describe());
            }
            if (name.endsWith(names.down)) {
                bottleneck(one, two, merged, name.substring(0, name.length() - names.down.length()), names, options);
            } else if (!name.endsWith(names.up) && (names.downBias == null || !name.endsWith(names.downBias))) {
                average(merged, tensor, Floats.all(two.tensors().get(name)), options.weight);
            }
        }
        progress.at(done, one.tensors().size());
        return merged;
    }

    private static void bottleneck(SavedAdapter one, SavedAdapter two, SavedAdapter merged, String stem, Names names, Options options) {
        Matrix down = matrix(two, stem + names.down);
        Matrix up = matrix(two, stem + names.up);
        Matrix plan = plan(matrix(one, stem + names.down), matrix(one, stem + names.up), down, up, options.inputs.get(stem), options.sinkhorn);
        average(merged, one.tensors().get(stem + names.down), plan.times(down).data(), options.weight);
        average(merged, one.tensors().get(stem + names.up), up.times(plan.transposed()).data(), options.weight);
        if (names.downBias != null && two.tensors().containsKey(stem + names.downBias)) {
            Matrix bias = new Matrix(down.rows(), 1, Floats.all(two.tensors().get(stem + names.downBias)));
            average(merged, one.tensors().get(stem + names.downBias), plan.times(bias).data(), options.weight);
        }
    }

    /** What each of the first's neurons takes of the second's, [first, second]. */
    static Matrix plan(Matrix down, Matrix up, Matrix otherDown, Matrix otherUp, Matrix inputs, boolean sinkhorn) {
        int n = down.rows();
        Matrix features = inputs == null ? down.beside(up.transposed()) : down.times(inputs.transposed());
        Matrix otherFeatures = inputs == null ? otherDown.beside(otherUp.transposed()) : otherDown.times(inputs.transposed());
        double[][] cost = new double[n][n];
        for (int i = 0; i < n; i++) {
            for (int j = 0; j < n; j++) {
                for (int k = 0; k < features.columns(); k++) {
                    double difference = features.at(j, k) - otherFeatures.at(i, k);
                    cost[i][j] += difference * difference;
                }
            }
        }
        if (sinkhorn) {
            double[][] plan = Assignment.sinkhorn(cost, REGULARISATION, ITERATIONS);
            return Matrix.of(n, n, (to, from) -> plan[from][to]);
        }
        int[] from = Assignment.exact(cost);
        return Matrix.of(n, n, (r, c) -> from[r] == c ? 1 : 0);
    }

    private static Matrix matrix(SavedAdapter adapter, String name) {
        TensorView view = adapter.tensors().get(name);
        return new Matrix(view.dim(0), view.dim(1), Floats.all(view));
    }

    private static void average(SavedAdapter merged, TensorView first, float[] second, double weight) {
        float[] values = Floats.all(first);
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) (weight * values[i] + (1 - weight) * second[i]);
        }
        merged.put(first.name(), first.shape(), values);
    }
}
