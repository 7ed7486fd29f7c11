package dev.polyphon.engine.adapter.ops;

import com.fasterxml.jackson.databind.JsonNode;
import dev.polyphon.engine.adapter.AdapterFault;
import dev.polyphon.engine.adapter.AdapterFolder;
import dev.polyphon.engine.adapter.Matrix;
import dev.polyphon.engine.weights.Floats;
import dev.polyphon.engine.weights.TensorView;
import dev.polyphon.runtime.OperationProgress;
import java.io.IOException;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * MerA (He et al. 2023): the neurons of a second adapter's bottleneck are brought into the order of the first's by optimal transport, and both are
 * averaged. For bottlenecks, LLM-Adapters' and AdapterHub's, and LoRA, whose ranks are the neurons then.
 */
public final class AlignMerge {
    private static final String HUB = "ADAPTERHUB";
    /** Of AdapterHub's bottlenecks that begin with a norm, where the way down is the second step. */
    private static final String NORMED = " with ln_before";
    private static final double REGULARISATION = 0.005;
    private static final int ITERATIONS = 500;

    /** Options on which both have to agree, since the merged adapter has but one of each. */
    private static final List<String> COMMON = List.of("r", "lora_alpha", "rank_pattern", "alpha_pattern", "use_rslora", "init_lora_weights", "use_dora",
            "trainable_token_indices", "bottleneck_size", "non_linearity", "use_parallel_adapter", "scaling", "config");

    /** Endings of a bottleneck's tensors; the bias may be absent. */
    private record Names(String down, String downBias, String up, boolean ofEmbedding) {
        static Names of(String down, String up) {
            return new Names(down, null, up, false);
        }
    }

    private static final Map<String, List<Names>> KINDS = Map.of(
            "BOTTLENECK", List.of(new Names(".adapter_down.weight", ".adapter_down.bias", ".adapter_up.weight", false)),
            HUB, List.of(new Names(".adapter_down.0.weight", ".adapter_down.0.bias", ".adapter_up.weight", false)),
            HUB + NORMED, List.of(new Names(".adapter_down.1.weight", ".adapter_down.1.bias", ".adapter_up.weight", false)),
            "LORA", List.of(Names.of(".lora_A.weight", ".lora_B.weight"), Names.of(".lora_A.default.weight", ".lora_B.default.weight"),
                    new Names(".lora_embedding_A", null, ".lora_embedding_B", true)));

    /**
     * The neurons of one module.
     *
     * @param down [neurons, in]
     * @param bias [neurons], or null
     */
    public record Neurons(Matrix down, float[] bias) {}

    /**
     * @param sinkhorn whether the transport is Sinkhorn's plan, not the exact assignment
     * @param weight of the first adapter in the average, 0 to 1
     * @param costs by module, what it costs to take the second's neuron (row) for the first's (column); where there is none, it is the distance of their
     *     weights
     */
    public record Options(boolean sinkhorn, double weight, Map<String, double[][]> costs) {
        public Options {
            if (!(weight >= 0 && weight <= 1)) {
                throw new IllegalArgumentException("weight must be 0 to 1, found " + weight);
            }
        }
    }

    private final SavedAdapter first;
    private final SavedAdapter second;
    /** By module, the names of its tensors. */
    private final Map<String, Names> modules = new LinkedHashMap<>();

    private AlignMerge(SavedAdapter first, SavedAdapter second, List<Names> kind) {
        this.first = first;
        this.second = second;
        for (String tensor : first.tensors().keySet()) {
            kind.stream().filter(names -> tensor.endsWith(names.down))
                    .forEach(names -> modules.put(tensor.substring(0, tensor.length() - names.down.length()), names));
        }
    }

    /** @throws AdapterFault when the adapters are not of one family, options and shape */
    public static AlignMerge of(AdapterFolder first, AdapterFolder second) throws IOException {
        List<Names> kind = KINDS.get(kind(first));
        if (kind == null || !second.kind().equals(first.kind())) {
            throw new AdapterFault("adapters of kinds " + kind(first) + " and " + kind(second)
                    + " cannot be aligned; two of LORA, two of BOTTLENECK and two of AdapterHub's bottlenecks can");
        }
        for (String key : COMMON) {
            if (!first.config().path(key).equals(second.config().path(key))) {
                throw new AdapterFault("the adapters differ in " + key + ": " + first.config().path(key) + " and " + second.config().path(key));
            }
        }
        if (first.config().hasNonNull("quantization") || second.config().hasNonNull("quantization")) {
            throw new AdapterFault("quantised adapters cannot be aligned; convert makes plain LoRA adapters of theirs");
        }
        SavedAdapter one = SavedAdapter.read(first);
        SavedAdapter two = renamed(SavedAdapter.read(second), one);
        if (!one.tensors().keySet().equals(two.tensors().keySet())) {
            throw new AdapterFault("the adapters are not of the same modules");
        }
        for (TensorView tensor : one.tensors().values()) {
            TensorView other = two.tensors().get(tensor.name());
            if (!Arrays.equals(tensor.shape(), other.shape())) {
                throw new AdapterFault("tensor " + tensor.name() + " is " + tensor.describe() + " and " + other.describe());
            }
            // No order is the best one of what cannot be compared.
            finite(first, tensor);
            finite(second, other);
        }
        return new AlignMerge(one, two, kind);
    }

    private static String kind(AdapterFolder adapter) {
        JsonNode config = adapter.config().path("config");
        if (!adapter.kind().equals(HUB)) {
            return adapter.kind();
        }
        String architecture = config.path("architecture").asText("bottleneck");
        boolean plain = (architecture.equals("bottleneck") || architecture.equals("null")) && !config.path("phm_layer").asBoolean();
        return plain ? HUB + (config.path("ln_before").asBoolean() ? NORMED : "") : HUB + " " + (architecture.equals("bottleneck") ? "with phm_layer" : architecture);
    }

    /** AdapterHub's tensors have the adapter's name in theirs: the second's as if it were called like the first. */
    private static SavedAdapter renamed(SavedAdapter second, SavedAdapter first) {
        if (!second.kind().equals(HUB)) {
            return second;
        }
        SavedAdapter renamed = new SavedAdapter(second.config());
        String from = ".adapters." + second.config().path("name").asText() + ".";
        String to = ".adapters." + first.config().path("name").asText() + ".";
        second.tensors().values().forEach(t -> renamed.put(new TensorView(t.name().replace(from, to), t.dtype(), t.shape(), t.data())));
        return renamed;
    }

    private static void finite(AdapterFolder adapter, TensorView tensor) throws AdapterFault {
        for (float value : Floats.all(tensor)) {
            if (!Float.isFinite(value)) {
                throw new AdapterFault("tensor " + tensor.name() + " of " + adapter.path().getFileName() + " holds " + value);
            }
        }
    }

    /** The neurons of both adapters, by module as their tensors name it; those of an embedding, which read no rows, are left out. */
    public Map<String, List<Neurons>> neurons() {
        Map<String, List<Neurons>> neurons = new LinkedHashMap<>();
        modules.forEach((module, names) -> {
            if (!names.ofEmbedding) {
                neurons.put(module, List.of(neurons(first, module, names), neurons(second, module, names)));
            }
        });
        return neurons;
    }

    private static Neurons neurons(SavedAdapter adapter, String module, Names names) {
        TensorView bias = names.downBias == null ? null : adapter.tensors().get(module + names.downBias);
        return new Neurons(matrix(adapter, module + names.down), bias == null ? null : Floats.all(bias));
    }

    /** How many modules have neurons. */
    public int modules() {
        return modules.size();
    }

    /** The average of the first adapter and of the second, whose neurons were brought into the first's order. */
    public SavedAdapter merge(Options options, OperationProgress progress) {
        SavedAdapter merged = new SavedAdapter(first.config());
        int done = 0;
        for (Map.Entry<String, Names> module : modules.entrySet()) {
            progress.at(done++, modules.size());
            bottleneck(merged, module.getKey(), module.getValue(), options);
        }
        progress.at(done, modules.size());
        for (TensorView tensor : first.tensors().values()) {
            if (!merged.tensors().containsKey(tensor.name())) {
                average(merged, tensor, Floats.all(second.tensors().get(tensor.name())), options.weight);
            }
        }
        return merged;
    }

    private void bottleneck(SavedAdapter merged, String module, Names names, Options options) {
        Neurons of = neurons(second, module, names);
        Matrix up = matrix(second, module + names.up);
        double[][] cost = options.costs.get(module);
        Matrix plan = plan(cost != null ? cost : distances(matrix(first, module + names.down), matrix(first, module + names.up), of.down, up), options.sinkhorn);
        average(merged, first.tensors().get(module + names.down), plan.times(of.down).data(), options.weight);
        average(merged, first.tensors().get(module + names.up), up.times(plan.transposed()).data(), options.weight);
        if (of.bias != null) {
            average(merged, first.tensors().get(module + names.downBias), plan.times(new Matrix(of.bias.length, 1, of.bias)).data(), options.weight);
        }
    }

    /** How far the weights of neurons are apart. */
    private static double[][] distances(Matrix down, Matrix up, Matrix otherDown, Matrix otherUp) {
        double[][] cost = new double[down.rows()][down.rows()];
        addDistances(cost, down.beside(up.transposed()), otherDown.beside(otherUp.transposed()));
        return cost;
    }

    /**
     * Adds the squared distances of rows.
     *
     * @param cost receives at {@code [i][j]} that of {@code second}'s row i and {@code first}'s row j
     */
    public static void addDistances(double[][] cost, Matrix first, Matrix second) {
        for (int i = 0; i < second.rows(); i++) {
            for (int j = 0; j < first.rows(); j++) {
                double sum = 0;
                for (int k = 0; k < first.columns(); k++) {
                    double difference = first.at(j, k) - second.at(i, k);
                    sum += difference * difference;
                }
                cost[i][j] += sum;
            }
        }
    }

    /** What each of the first's neurons takes of the second's, [first, second]. */
    private static Matrix plan(double[][] cost, boolean sinkhorn) {
        int n = cost.length;
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
