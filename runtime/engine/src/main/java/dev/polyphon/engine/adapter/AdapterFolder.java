package dev.polyphon.engine.adapter;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.polyphon.engine.backend.Kernels;
import dev.polyphon.engine.model.Checkpoint;
import dev.polyphon.engine.model.Layout;
import dev.polyphon.engine.model.Site;
import dev.polyphon.engine.weights.SafeTensors;
import dev.polyphon.engine.weights.TensorFile;
import dev.polyphon.engine.weights.TorchFile;
import dev.polyphon.runtime.OperationProgress;
import java.io.CharConversionException;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * An adapter as PEFT saves it: {@code adapter_config.json} with {@code adapter_model.safetensors} or, from older
 * releases, {@code adapter_model.bin}. Other frameworks' adapters come in the same shape, under a {@code peft_type} of their own; AdapterHub's folders
 * are told by their {@code config}.
 */
public final class AdapterFolder {
    /** The configuration's file. */
    public static final String CONFIG = "adapter_config.json";
    /** Bytes that a configuration may have. */
    public static final int MOST_CONFIG_BYTES = 1 << 20;

    private static final List<String> TENSORS = List.of("adapter_model.safetensors", "adapter_model.bin");
    private static final List<String> HUB_TENSORS = List.of("adapter.safetensors", "pytorch_adapter.bin");
    private static final List<String> FILES = Stream.of(List.of(CONFIG), TENSORS, HUB_TENSORS).flatMap(List::stream).toList();
    private static final ObjectMapper JSON = new ObjectMapper();

    private static final Map<String, AdapterReader> READERS = Map.ofEntries(
            Map.entry("LORA", new LoraReader()),
            Map.entry("ADALORA", LowRankReaders::adaLora),
            Map.entry("IA3", ScaleReaders::ia3),
            Map.entry("VERA", LowRankReaders::vera),
            Map.entry("VBLORA", LowRankReaders::vbLora),
            Map.entry("LOHA", LowRankReaders::loHa),
            Map.entry("LOKR", DenseReaders::loKr),
            Map.entry("RANDLORA", LowRankReaders::randLora),
            Map.entry("MISS", LowRankReaders::miss),
            Map.entry("C3A", DenseReaders::c3a),
            Map.entry("SHIRA", DenseReaders::shira),
            Map.entry("FOURIERFT", DenseReaders::fourierFt),
            Map.entry("WAVEFT", DenseReaders::waveFt),
            Map.entry("OFT", RotationReaders::oft),
            Map.entry("BOFT", RotationReaders::boft),
            Map.entry("HRA", RotationReaders::hra),
            Map.entry("ROAD", ScaleReaders::road),
            Map.entry("LN_TUNING", ScaleReaders::layerNorms),
            Map.entry("POLY", MultiTaskReaders::poly),
            Map.entry("TRAINABLE_TOKENS", EmbeddingReaders::trainableTokens),
            Map.entry("PROMPT_TUNING", PrefixReaders::prompt),
            Map.entry("P_TUNING", PrefixReaders::prompt),
            Map.entry("PREFIX_TUNING", PrefixReaders::prefix),
            Map.entry("BOTTLENECK", BottleneckReaders::bottleneck),
            Map.entry("ADAPTERBIAS", BottleneckReaders::adapterBias),
            Map.entry("HYDRA", BottleneckReaders::hydra),
            Map.entry("HYPERNET", MultiTaskReaders::hypernetwork),
            Map.entry("MHR", MultiTaskReaders::multiHeadRouting),
            Map.entry("LTE", LowRankReaders::lteHeads),
            Map.entry("HDPISSA", LowRankReaders::hdPissa),
            Map.entry("SPARSE_LORA", LowRankReaders::sparseLora),
            Map.entry("MOSA", DenseReaders::mosa),
            Map.entry(AdapterOptions.HUB, HubReaders::read));

    private final Path folder;
    private final AdapterOptions options;
    /** The files' bytes by name; null where they are read from the folder. */
    private final Map<String, MemorySegment> content;

    private AdapterFolder(Path folder, AdapterOptions options, Map<String, MemorySegment> content) {
        this.folder = folder;
        this.options = options;
        this.content = content;
    }

    /** Every name that a file of an adapter may have, in a fixed order. */
    public static List<String> files() {
        return FILES;
    }

    /** Reads the configuration alone. */
    public static AdapterFolder open(Path folder) throws IOException {
        Path file = folder.resolve(CONFIG);
        if (!Files.isRegularFile(file)) {
            throw new AdapterFault(folder + " has no " + CONFIG);
        }
        checkConfigBytes(file, Files.size(file));
        return new AdapterFolder(folder, options(file, Files.readAllBytes(file)), null);
    }

    /**
     * An adapter whose files have been read into memory, which has to stay while this is used.
     *
     * @param folder names the adapter in messages
     * @param content the files' bytes by name
     */
    public static AdapterFolder of(Path folder, Map<String, MemorySegment> content) throws IOException {
        MemorySegment config = content.get(CONFIG);
        if (config == null) {
            throw new AdapterFault(folder + " has no " + CONFIG);
        }
        checkConfigBytes(folder.resolve(CONFIG), config.byteSize());
        return new AdapterFolder(folder, options(folder.resolve(CONFIG), config.toArray(ValueLayout.JAVA_BYTE)), Map.copyOf(content));
    }

    private static void checkConfigBytes(Path file, long bytes) throws AdapterFault {
        if (bytes > MOST_CONFIG_BYTES) {
            throw new AdapterFault(file + " has " + bytes + " bytes; at most " + MOST_CONFIG_BYTES);
        }
    }

    private static AdapterOptions options(Path file, byte[] config) throws IOException {
        try {
            JsonNode json = JSON.readTree(config);
            if (json == null || json.path("peft_type").asText().isEmpty() && !json.path("config").isObject()) {
                throw new AdapterFault(file + " has no peft_type, and no config as AdapterHub writes it");
            }
            return new AdapterOptions(file, json);
        } catch (JsonProcessingException e) {
            throw new AdapterFault(file + " is not JSON: " + e.getOriginalMessage());
        } catch (CharConversionException e) {
            throw new AdapterFault(file + " is not JSON: " + e.getMessage());
        }
    }

    /** Where a base has the module that tensors are of whose names begin like this, at several sites where it is fused; empty when it has none. */
    public static List<Site> sites(String stem, Checkpoint base) {
        return AdapterBuilder.sites(AdapterTensors.withoutPrefix(stem), base).stream().map(Layout.Part::site).toList();
    }

    /** {@code peft_type}, for example {@code LORA}, or {@value AdapterOptions#HUB}. */
    public String kind() {
        return options.kind();
    }

    /** The tasks or languages of which a request has to name one; empty for adapters of one task. */
    public List<String> tasks() throws AdapterFault {
        return MultiTaskReaders.tasks(options);
    }

    /**
     * Reads what one request asks for: an adapter, or the weighted sum of several.
     *
     * @throws AdapterFault when one is not understood, does not fit, or is no change that can be added up
     */
    public static LoadedAdapter load(List<AdapterPart> parts, Checkpoint base, Kernels kernels) throws IOException {
        if (parts.size() == 1 && parts.getFirst().weight() == 1) {
            AdapterPart part = parts.getFirst();
            return part.folder().load(part.name(), part.task(), base, kernels);
        }
        AdapterBuilder builder = new AdapterBuilder(parts.stream().map(AdapterPart::name).collect(Collectors.joining("+")), base, kernels);
        try {
            for (AdapterPart part : parts) {
                builder.mix(part.name(), part.weight());
                part.folder().read(part.task(), builder, OperationProgress.NONE);
            }
            return builder.build();
        } catch (IOException | RuntimeException e) {
            builder.close();
            throw e;
        }
    }

    /**
     * Reads the tensors into memory of the adapter's own, checks them against the base, and hands them to the device.
     *
     * @param task which of a multi-task adapter's tasks or languages; null for adapters of one task
     * @throws AdapterFault when it is not understood, or does not fit, with the tensor's name and both shapes
     */
    public LoadedAdapter load(String name, String task, Checkpoint base, Kernels kernels) throws IOException {
        AdapterBuilder builder = new AdapterBuilder(name, base, kernels);
        try {
            read(task, builder, OperationProgress.NONE);
            return builder.build();
        } catch (IOException | RuntimeException e) {
            builder.close();
            throw e;
        }
    }

    /**
     * What the adapter adds to the base's weights, by module path as the base's checkpoints have it.
     *
     * @param task which of a multi-task adapter's tasks, or null
     * @param progress hears of each tensor
     * @throws AdapterFault also when it does anything besides adding to weights
     */
    public Map<String, Delta> deltas(String task, Checkpoint base, Kernels kernels, OperationProgress progress) throws IOException {
        try (AdapterBuilder builder = new AdapterBuilder(folder.getFileName().toString(), base, kernels)) {
            builder.collect(folder.getFileName().toString());
            read(task, builder, progress);
            return builder.deltas();
        }
    }

    /**
     * What a hypernetwork generates for a task, layer by layer.
     *
     * @param progress hears of each layer
     * @throws AdapterFault when the adapter is none, or has no such task
     */
    public List<GeneratedBottleneck> generated(String task, Checkpoint base, OperationProgress progress) throws IOException {
        if (!kind().equals("HYPERNET")) {
            throw new AdapterFault("an adapter of kind " + kind() + " generates nothing; a HYPERNET does");
        }
        try (TensorFile file = openTensors()) {
            return MultiTaskReaders.generate(options, new AdapterTensors(file), task, base.spec(), progress);
        }
    }

    public Path path() {
        return folder;
    }

    /** The configuration as it is written. */
    public JsonNode config() {
        return options.root();
    }

    private void read(String task, AdapterBuilder out, OperationProgress progress) throws IOException {
        AdapterReader reader = READERS.get(kind());
        if (reader == null) {
            throw new AdapterFault("peft_type " + kind() + " is not supported");
        }
        if (task != null && !MultiTaskReaders.hasTasks(options)) {
            throw new TaskFault("an adapter of kind " + kind() + " has no tasks; " + task + " was asked for");
        }
        try (TensorFile file = openTensors()) {
            AdapterTensors tensors = new AdapterTensors(file, progress);
            boolean tied = options.bool("ensure_weight_tying") && out.spec().tied();
            SavedModules.read(tensors, options.strings("modules_to_save"), tied, out);
            reader.read(options, tensors, task, out);
            SavedBiases.read(tensors, out);
            tensors.finish();
            TrainedModules.check(options, tensors, out);
            if (tied) {
                TrainedModules.checkTied(tensors, out);
            }
            out.warn(warnings(tensors.names(), out.base()));
        }
    }

    /**
     * What is odd about the adapter, and may be meant.
     *
     * @param tensors names of all of them
     * @param base null where there is none
     */
    public List<String> warnings(Collection<String> tensors, Checkpoint base) throws AdapterFault {
        return base == null ? LayerGaps.of(options, tensors, 0, tensor -> true)
                : LayerGaps.of(options, tensors, base.spec().layers().size(), AdapterBuilder.modulesOf(base));
    }

    AdapterOptions options() {
        return options;
    }

    /** The names that the file with the tensors may have: safetensors, or PyTorch's where there are none. */
    public List<String> tensorFiles() {
        return tensorFiles(kind());
    }

    /** The same for adapters of a kind. */
    public static List<String> tensorFiles(String kind) {
        return kind.equals(AdapterOptions.HUB) ? HUB_TENSORS : TENSORS;
    }

    /** The kind that a configuration is of. */
    public static String kind(JsonNode config) {
        return AdapterOptions.kind(config);
    }

    /** The file with the tensors, the first of {@link #tensorFiles} that is there. */
    public TensorFile openTensors() throws IOException {
        for (String name : tensorFiles()) {
            Path file = folder.resolve(name);
            if (content == null ? Files.isRegularFile(file) : content.containsKey(name)) {
                return name.endsWith(".bin") ? torch(file, name) : safe(file, name);
            }
        }
        throw new AdapterFault(folder + " has no " + String.join(" and no ", tensorFiles()));
    }

    private TensorFile safe(Path file, String name) throws IOException {
        return content == null ? SafeTensors.open(file) : SafeTensors.of(file, content.get(name));
    }

    private TensorFile torch(Path file, String name) throws IOException {
        return content == null ? TorchFile.open(file) : TorchFile.of(file, content.get(name));
    }
}
