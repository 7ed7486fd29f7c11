package dev.polyphon.engine;

import dev.polyphon.engine.adapter.AdapterFault;
import dev.polyphon.engine.adapter.AdapterFolder;
import dev.polyphon.engine.adapter.LoadedAdapter;
import dev.polyphon.engine.adapter.Matrix;
import dev.polyphon.engine.adapter.ops.AlignMerge;
import dev.polyphon.engine.adapter.ops.AlignMerge.Neurons;
import dev.polyphon.engine.backend.Kernels;
import dev.polyphon.engine.backend.KvCache;
import dev.polyphon.engine.backend.Tensor;
import dev.polyphon.engine.backend.Weight;
import dev.polyphon.engine.model.AdapterPlan;
import dev.polyphon.engine.model.BaseWeights;
import dev.polyphon.engine.model.Checkpoint;
import dev.polyphon.engine.model.Decoder;
import dev.polyphon.engine.model.Form;
import dev.polyphon.engine.model.Probe;
import dev.polyphon.engine.model.Site;
import dev.polyphon.engine.schedule.Sequence;
import dev.polyphon.engine.schedule.StepRows;
import dev.polyphon.engine.schedule.Work;
import dev.polyphon.runtime.OperationProgress;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Stream;

/**
 * Compares the neurons of two adapters by what they compute on texts, before any activation function, while the base runs each text twice: with the first
 * adapter, and with the second. Only sums of squared differences are kept, so that memory does not grow with the texts.
 */
final class Activations implements Probe {
    private static final int ROWS = 128;
    private static final int BLOCK_SIZE = 32;

    /** The neurons of an adapter at a module. @param of 0 for the first adapter, 1 for the second */
    private record Place(String module, int of, Neurons neurons) {}

    private final Kernels kernels;
    private final Map<Weight, Place> places = new IdentityHashMap<>();
    private final Map<String, double[][]> costs = new HashMap<>();
    private final Set<String> compared = new HashSet<>();
    /** What the neurons of the first and second adapter computed in this step, [neurons, rows]; null before they did. */
    private final Map<String, Matrix[]> step = new HashMap<>();

    private Activations(Kernels kernels) {
        this.kernels = kernels;
    }

    /**
     * What it costs to take the second adapter's neuron i for the first's j, at {@code [i][j]}, by module as {@link AlignMerge#neurons} names it. Modules
     * outside of layers are left out.
     *
     * @param prompts token ids, at least one each
     * @throws AdapterFault when an adapter does not fit the base, or its neurons do not all see the same tokens
     * @throws IllegalArgumentException when a prompt is longer than the base takes, or holds what is no token
     */
    static Map<String, double[][]> costs(AlignMerge pair, AdapterFolder first, AdapterFolder second, List<int[]> prompts, Checkpoint base, Kernels kernels,
            OperationProgress progress) throws IOException {
        check(prompts, base);
        try (LoadedAdapter one = first.load("first", null, base, kernels);
                LoadedAdapter two = second.load("second", null, base, kernels);
                BaseWeights weights = new BaseWeights(kernels, base)) {
            Activations activations = new Activations(kernels);
            for (Map.Entry<String, List<Neurons>> module : pair.neurons().entrySet()) {
                activations.watch(module.getKey(), module.getValue(), List.of(one, two), base);
            }
            activations.run(prompts, List.of(one, two), base, weights, progress);
            for (String module : activations.costs.keySet()) {
                if (!activations.compared.contains(module)) {
                    throw new AdapterFault("no calibration text activates the adapters at " + module);
                }
            }
            return activations.costs;
        }
    }

    private static void check(List<int[]> prompts, Checkpoint base) {
        for (int i = 0; i < prompts.size(); i++) {
            int[] prompt = prompts.get(i);
            if (prompt.length == 0 || prompt.length > base.spec().context()) {
                throw new IllegalArgumentException("calibration text " + (i + 1) + " has " + prompt.length + " tokens; this base takes 1 to "
                        + base.spec().context());
            }
            Arrays.stream(prompt).filter(id -> id < 0 || id >= base.spec().vocabulary()).findFirst().ifPresent(id -> {
                throw new IllegalArgumentException("calibration has token " + id + "; the base's are 0 to " + (base.spec().vocabulary() - 1));
            });
        }
    }

    private void watch(String module, List<Neurons> neurons, List<LoadedAdapter> adapters, Checkpoint base) throws AdapterFault {
        List<Site> sites = AdapterFolder.sites(module, base);
        if (sites.isEmpty()) {
            throw new AdapterFault("neurons of " + module + " cannot be compared by texts, only by their weights");
        }
        if (!sites.getFirst().module().perLayer()) {
            // The head, which is not run.
            return;
        }
        if (sites.getFirst().expert() >= 0) {
            throw new AdapterFault("neurons at " + sites.getFirst() + " cannot be compared by texts: which tokens an expert sees differs between adapters");
        }
        for (int of = 0; of < 2; of++) {
            Weight down = down(adapters.get(of).weights().at(sites.getFirst()))
                    .orElseThrow(() -> new AdapterFault("at " + sites.getFirst() + " the base computes the adapters' change as one matrix, whose neurons cannot be seen"));
            places.put(down, new Place(module, of, neurons.get(of)));
        }
        int count = neurons.getFirst().down().rows();
        costs.put(module, new double[count][count]);
    }

    private static Optional<Weight> down(List<Form> forms) {
        return forms.stream().flatMap(form -> switch (form) {
            case Form.LowRankDelta delta -> Stream.of(delta.a());
            case Form.Bottleneck bottleneck -> Stream.of(bottleneck.down());
            default -> Stream.<Weight>empty();
        }).findFirst();
    }

    private void run(List<int[]> prompts, List<LoadedAdapter> adapters, Checkpoint base, BaseWeights weights, OperationProgress progress) throws AdapterFault {
        int longest = prompts.stream().mapToInt(prompt -> prompt.length).max().orElse(0);
        int total = prompts.stream().mapToInt(prompt -> prompt.length).sum();
        int blocks = (longest + BLOCK_SIZE - 1) / BLOCK_SIZE;
        var spec = base.spec();
        int done = 0;
        try (Decoder decoder = new Decoder(kernels, spec, weights, 2 * ROWS, 1, longest);
                KvCache cache = kernels.kvCache(spec.layers().size(), spec.kvHeads(), spec.headDim(), 2 * blocks, BLOCK_SIZE).openAll()) {
            decoder.watch(this);
            for (int[] prompt : prompts) {
                List<Sequence> sequences = new ArrayList<>();
                for (int of = 0; of < 2; of++) {
                    Sequence sequence = new Sequence(prompt, adapters.get(of).weights());
                    for (int block = 0; block < blocks; block++) {
                        sequence.addBlock(of * blocks + block);
                    }
                    sequences.add(sequence);
                }
                for (int from = 0; from < prompt.length; from += ROWS) {
                    progress.at(done + from, total);
                    int rows = Math.min(ROWS, prompt.length - from);
                    int start = from;
                    StepRows rowsOfBoth = StepRows.of(sequences.stream().map(sequence -> new Work(sequence, start, rows)).toList());
                    decoder.forward(rowsOfBoth.batch(), new AdapterPlan(rowsOfBoth.segments()), cache, new int[0], 0, new float[0]);
                    compare();
                }
                done += prompt.length;
            }
        }
        progress.at(done, total);
    }

    @Override
    public void reads(Weight down, Tensor v, int first, int rows) {
        Place place = places.get(down);
        Matrix[] computed = place == null ? null : step.computeIfAbsent(place.module, m -> new Matrix[2]);
        // A fused module's parts read the same.
        if (computed == null || computed[place.of] != null) {
            return;
        }
        float[] values = new float[rows * v.columns()];
        kernels.read(v, first, rows, values);
        Matrix products = place.neurons.down().times(new Matrix(rows, v.columns(), values).transposed());
        float[] bias = place.neurons.bias();
        computed[place.of] = bias == null ? products : Matrix.of(products.rows(), rows, (n, r) -> products.at(n, r) + bias[n]);
    }

    private void compare() throws AdapterFault {
        for (Map.Entry<String, Matrix[]> module : step.entrySet()) {
            Matrix[] computed = module.getValue();
            if (computed[0] == null || computed[1] == null || computed[0].columns() != computed[1].columns()) {
                throw new AdapterFault("at " + module.getKey() + " the adapters do not act on the same tokens");
            }
            compared.add(module.getKey());
            AlignMerge.addDistances(costs.get(module.getKey()), computed[0], computed[1]);
        }
        step.clear();
    }
}
