package dev.polyphon.engine.adapter.ops;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polyphon.engine.backend.Kernels;
import dev.polyphon.engine.merge.Fold;
import dev.polyphon.engine.merge.LinearMap;
import dev.polyphon.engine.merge.StoredLinear;
import dev.polyphon.engine.model.AdapterWeights;
import dev.polyphon.engine.model.Checkpoint;
import dev.polyphon.engine.model.Checkpoint.Stored;
import dev.polyphon.engine.model.Layout;
import dev.polyphon.engine.model.Module;
import dev.polyphon.engine.model.Site;
import dev.polyphon.engine.weights.DType;
import dev.polyphon.engine.weights.Floats;
import dev.polyphon.engine.weights.Gguf;
import dev.polyphon.engine.weights.GgufWriter;
import dev.polyphon.engine.weights.OutgoingTensor;
import dev.polyphon.engine.weights.SafeTensorsWriter;
import dev.polyphon.engine.weights.TensorView;
import dev.polyphon.runtime.OperationProgress;
import java.io.IOException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.NavigableMap;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * Writes a base with an adapter folded into its weights: a model of its own, in the format of its base. Tensors that the adapter does not touch are
 * copied as they are unless another type is asked for. A base whose embedding is its head gets a head of its own when the two are no longer the same.
 */
public final class Merge {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final int MOST_REASONS = 3;
    private static final Map<DType, Integer> GGUF_FILE_TYPES = Map.of(DType.F32, 0, DType.F16, 1, DType.BF16, 32);
    private static final Map<DType, String> TORCH_TYPES = Map.of(DType.F32, "float32", DType.F16, "float16", DType.BF16, "bfloat16");
    private static final Set<Module> ATTENTION = Set.of(Module.Q, Module.K, Module.V, Module.O);
    private static final Set<Module> MLP = Set.of(Module.GATE, Module.UP, Module.DOWN);

    /**
     * What was written.
     *
     * @param changed tensors that are others than the base's
     * @param bytes of all tensors
     */
    public record Result(int changed, int tensors, long bytes) {}

    private final Checkpoint base;
    private final Fold fold;
    private final DType type;
    private final boolean gguf;
    private final NavigableMap<Long, TensorView> byAddress = new TreeMap<>();
    private final Map<String, EditedTensor> matrices = new HashMap<>();
    private final Map<String, float[]> vectors = new HashMap<>();
    private final Map<String, OutgoingTensor> added = new LinkedHashMap<>();
    private final Set<Module> newBiases = java.util.EnumSet.noneOf(Module.class);
    private boolean tiedDone;
    private boolean untied;

    private Merge(Checkpoint base, Kernels kernels, DType type) {
        this.base = base;
        this.type = type;
        fold = new Fold(kernels);
        gguf = base.file() instanceof Gguf;
        base.file().tensors().forEach(tensor -> byAddress.put(tensor.data().address(), tensor));
    }

    /**
     * Writes a merged model.
     *
     * @param kernels made the adapter
     * @param type F32, F16 or BF16 for all matrices, or null for each in the base's; changed ones of a quantised base are Q8_0 where they were and F16
     *     where they were smaller
     * @param to a folder for a base in a folder, a file for a GGUF file; must not exist
     * @throws IllegalArgumentException when the adapter is more than other weights, or the base's format has no place for what it adds, with the reason
     */
    public static Result write(AdapterWeights adapter, Checkpoint base, Kernels kernels, DType type, Path to, OperationProgress progress) throws IOException {
        List<String> obstacles = Fold.obstacles(adapter);
        if (!obstacles.isEmpty()) {
            throw new IllegalArgumentException("adapter " + adapter.name() + " cannot be merged: "
                    + obstacles.stream().limit(MOST_REASONS).collect(Collectors.joining("; "))
                    + (obstacles.size() > MOST_REASONS ? "; and so at " + (obstacles.size() - MOST_REASONS) + " other sites" : ""));
        }
        if (Files.exists(to)) {
            throw new FileAlreadyExistsException(to.toString(), null, "exists already");
        }
        Merge merge = new Merge(base, kernels, type);
        for (Site site : adapter.sites()) {
            merge.edit(site, adapter);
        }
        merge.zeroBiases();
        return merge.write(to, progress);
    }

    private void edit(Site site, AdapterWeights adapter) {
        if (site.module().norm()) {
            norm(site, fold.norm(adapter.at(site)));
        } else if (base.spec().tied() && (site.module() == Module.EMBED || site.module() == Module.HEAD)) {
            if (!tiedDone) {
                tied(adapter);
            }
        } else {
            LinearMap map = folded(site, adapter);
            Stored stored = base.required(site);
            matrix(stored, map);
            bias(site, stored, map);
        }
    }

    private LinearMap folded(Site site, AdapterWeights adapter) {
        LinearMap map = StoredLinear.of(base, site);
        return site.module() == Module.EMBED ? fold.embedding(map, adapter.at(site)) : fold.linear(map, adapter.at(site));
    }

    /** The table that is both embedding and head: one again if both are changed alike, otherwise two. */
    private void tied(AdapterWeights adapter) {
        tiedDone = true;
        LinearMap embedding = folded(Site.of(Module.EMBED), adapter);
        LinearMap head = folded(Site.of(Module.HEAD), adapter);
        Stored stored = base.required(Site.of(Module.EMBED));
        matrix(stored, embedding);
        if (head.bias() != null) {
            throw new IllegalArgumentException("the base's format has no place for a bias at " + Site.of(Module.HEAD));
        }
        if (!EditedTensor.same(embedding, head)) {
            String name = gguf ? "output.weight" : base.layout().place(Module.HEAD).orElseThrow().path() + ".weight";
            TensorView like = stored.weight();
            EditedTensor own = new EditedTensor(new TensorView(name, like.dtype(), like.shape(), like.data()), false);
            own.put(head, 0, null);
            matrices.put(name, own);
            added.put(name, own.outgoing(type(like, true), () -> {}));
            untied = true;
        }
    }

    private void matrix(Stored stored, LinearMap map) {
        TensorView part = stored.weight();
        TensorView whole = byAddress.floorEntry(part.data().address()).getValue();
        long rowBytes = part.dtype().bytes(part.dim(part.rank() - 1));
        int first = Math.toIntExact((part.data().address() - whole.data().address()) / rowBytes);
        matrices.computeIfAbsent(whole.name(), n -> new EditedTensor(whole, stored.transposed())).put(map, first, stored.rows());
    }

    private void bias(Site site, Stored stored, LinearMap map) {
        if (map.bias() == null) {
            return;
        }
        if (stored.bias() != null) {
            float[] all = vectors.computeIfAbsent(stored.bias().name(), n -> Floats.all(stored.bias()));
            put(map.bias(), stored, all);
            return;
        }
        if (!base.spec().family().equals("llama") || !ATTENTION.contains(site.module()) && !MLP.contains(site.module())) {
            throw new IllegalArgumentException("the adapter adds a bias at " + site + ", where models of type " + base.spec().family() + " have none");
        }
        newBiases.add(site.module());
        float[] all = new float[map.out()];
        put(map.bias(), stored, all);
        addVector(biasName(stored), stored.weight(), all);
    }

    /** Puts values in the order of the decoder where the file has them. */
    private static void put(float[] values, Stored stored, float[] to) {
        for (int i = 0; i < values.length; i++) {
            to[stored.rows() == null ? i : stored.rows()[i]] = values[i];
        }
    }

    private static String biasName(Stored stored) {
        String weight = stored.weight().name();
        return weight.substring(0, weight.length() - "weight".length()) + "bias";
    }

    private void addVector(String name, TensorView like, float[] values) {
        DType as = gguf ? DType.F32 : type(like, true);
        added.put(name, new OutgoingTensor(name, as, new long[] {values.length}, channel -> EditedTensor.write(as, values, channel)));
    }

    /** A configuration knows biases of all of attention, or of all of the MLP: those that the adapter does not add are zeros. */
    private void zeroBiases() {
        if (gguf) {
            return;
        }
        for (Set<Module> group : List.of(ATTENTION, MLP)) {
            if (newBiases.stream().noneMatch(group::contains)) {
                continue;
            }
            for (Module module : group) {
                for (Site site : Layout.sites(module, base.spec())) {
                    Stored stored = base.required(site);
                    if (stored.bias() == null && !added.containsKey(biasName(stored))) {
                        addVector(biasName(stored), stored.weight(), new float[base.spec().out(module)]);
                    }
                }
            }
        }
    }

    private void norm(Site site, Fold.NormValues values) {
        Stored stored = base.required(site);
        float[] weight = values.weight().clone();
        for (int i = 0; i < weight.length; i++) {
            weight[i] -= base.spec().normOffset();
        }
        vectors.put(stored.weight().name(), weight);
        if (values.bias() != null) {
            if (stored.bias() == null) {
                throw new IllegalArgumentException("the adapter adds a bias at " + site + ", where the base has none");
            }
            vectors.put(stored.bias().name(), values.bias());
        }
    }

    /** The type that a tensor is written in. */
    private DType type(TensorView tensor, boolean edited) {
        DType own = tensor.dtype();
        boolean number = own.quantised() || own == DType.F32 || own == DType.F16 || own == DType.BF16 || own == DType.F64;
        if (type != null && number && (tensor.rank() > 1 || !gguf)) {
            return type;
        }
        boolean writable = own == DType.F32 || own == DType.F16 || own == DType.BF16 || own == DType.Q8_0;
        return !edited || writable ? own : own == DType.F64 ? DType.F32 : DType.F16;
    }

    private Result write(Path to, OperationProgress progress) throws IOException {
        List<OutgoingTensor> tensors = new ArrayList<>();
        int[] done = {0};
        int total = base.file().tensors().size() + added.size();
        Runnable between = () -> progress.at(done[0], total);
        for (TensorView tensor : base.file().tensors()) {
            if (!added.containsKey(tensor.name())) {
                tensors.add(counted(outgoing(tensor, between), done, between));
            }
        }
        added.values().forEach(tensor -> tensors.add(counted(tensor, done, between)));
        if (gguf) {
            GgufWriter writer = new GgufWriter().metadataOf((Gguf) base.file());
            if (type != null) {
                writer.integer("general.file_type", GGUF_FILE_TYPES.get(type));
            }
            tensors.forEach(writer::add);
            writer.write(to);
        } else {
            SavedAdapter.whole(to, folder -> {
                SafeTensorsWriter writer = new SafeTensorsWriter().metadata("format", "pt");
                tensors.forEach(writer::add);
                writer.write(folder.resolve("model.safetensors"));
                copyOthers(folder);
            });
        }
        return new Result(matrices.size() + vectors.size() + Math.toIntExact(added.keySet().stream().filter(n -> !matrices.containsKey(n)).count()),
                tensors.size(), tensors.stream().mapToLong(OutgoingTensor::bytes).sum());
    }

    private static OutgoingTensor counted(OutgoingTensor tensor, int[] done, Runnable between) {
        return new OutgoingTensor(tensor.name(), tensor.dtype(), tensor.shape(), channel -> {
            tensor.content().writeTo(channel);
            done[0]++;
            between.run();
        });
    }

    private OutgoingTensor outgoing(TensorView tensor, Runnable between) {
        EditedTensor matrix = matrices.get(tensor.name());
        float[] vector = vectors.get(tensor.name());
        DType as = type(tensor, matrix != null || vector != null);
        if (vector != null) {
            return new OutgoingTensor(tensor.name(), as, tensor.shape(), channel -> EditedTensor.write(as, vector, channel));
        }
        if (matrix != null) {
            return matrix.outgoing(as, between);
        }
        return as == tensor.dtype() ? OutgoingTensor.of(tensor) : new EditedTensor(tensor, false).outgoing(as, between);
    }

    /** The configuration, brought up to date, and all files beside the weights: tokenizer, templates, licence. */
    private void copyOthers(Path folder) throws IOException {
        try (Stream<Path> files = Files.list(base.source())) {
            for (Path file : files.filter(Files::isRegularFile).toList()) {
                String name = file.getFileName().toString();
                if (!name.equals("config.json") && !name.matches(".*\\.(safetensors|bin|pt|pth|gguf|h5|msgpack|onnx|index\\.json)")) {
                    Files.copy(file, folder.resolve(name));
                }
            }
        }
        ObjectNode config = (ObjectNode) JSON.readTree(Files.readAllBytes(base.source().resolve("config.json")));
        if (type != null) {
            config.put(config.has("torch_dtype") ? "torch_dtype" : "dtype", TORCH_TYPES.get(type));
        }
        if (untied) {
            config.put("tie_word_embeddings", false);
        }
        if (newBiases.stream().anyMatch(ATTENTION::contains)) {
            config.put("attention_bias", true);
        }
        if (newBiases.stream().anyMatch(MLP::contains)) {
            config.put("mlp_bias", true);
        }
        Files.write(folder.resolve("config.json"), JSON.writerWithDefaultPrettyPrinter().writeValueAsBytes(config));
    }
}
