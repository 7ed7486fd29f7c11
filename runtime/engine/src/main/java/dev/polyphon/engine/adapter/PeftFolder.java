package dev.polyphon.engine.adapter;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.polyphon.engine.backend.Kernels;
import dev.polyphon.engine.backend.Owned;
import dev.polyphon.engine.backend.Weight;
import dev.polyphon.engine.model.AdapterWeights;
import dev.polyphon.engine.model.ArchitectureSpec;
import dev.polyphon.engine.model.Form;
import dev.polyphon.engine.model.Layout;
import dev.polyphon.engine.model.ModelConfig;
import dev.polyphon.engine.model.Module;
import dev.polyphon.engine.model.Site;
import dev.polyphon.engine.weights.SafeTensors;
import dev.polyphon.engine.weights.TensorFile;
import dev.polyphon.engine.weights.TensorView;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/**
 * An adapter as PEFT saves it: {@code adapter_config.json} with {@code adapter_model.safetensors}.
 */
public final class PeftFolder {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final String PREFIX = "base_model.model.";
    private static final long MOST_CONFIG_BYTES = 1 << 20;
    private static final Set<Module> LINEAR =
            EnumSet.of(Module.Q, Module.K, Module.V, Module.O, Module.GATE, Module.UP, Module.DOWN);

    private final Path folder;
    private final JsonNode json;
    private final String kind;

    private PeftFolder(Path folder, JsonNode json, String kind) {
        this.folder = folder;
        this.json = json;
        this.kind = kind;
    }

    /** Reads the configuration alone. */
    public static PeftFolder open(Path folder) throws IOException {
        Path file = folder.resolve("adapter_config.json");
        if (!Files.isRegularFile(file)) {
            throw new AdapterFault(folder + " has no adapter_config.json");
        }
        if (Files.size(file) > MOST_CONFIG_BYTES) {
            throw new AdapterFault(file + " has " + Files.size(file) + " bytes; at most " + MOST_CONFIG_BYTES);
        }
        try {
            JsonNode json = JSON.readTree(Files.readAllBytes(file));
            String kind = json == null ? "" : json.path("peft_type").asText();
            if (kind.isEmpty()) {
                throw new AdapterFault(file + " has no peft_type");
            }
            return new PeftFolder(folder, json, kind);
        } catch (JsonProcessingException e) {
            throw new AdapterFault(file + " is not JSON: " + e.getOriginalMessage());
        }
    }

    /** {@code peft_type}, for example {@code LORA}. */
    public String kind() {
        return kind;
    }

    /**
     * Reads the tensors into memory of the adapter's own (files may change or vanish while it is served), checks them against the base, and hands
     * them to the device.
     *
     * @throws AdapterFault when it does not fit, with the tensor's name and both shapes
     */
    public LoadedAdapter load(String name, ArchitectureSpec spec, Layout layout, Kernels kernels) throws IOException {
        if (!kind.equals("LORA")) {
            throw new AdapterFault("adapter " + name + ": peft_type " + kind + " is not supported");
        }
        Owned memory = new Owned();
        try (TensorFile file = tensors()) {
            LoraConfig config = LoraConfig.read(new ModelConfig(folder.resolve("adapter_config.json"), json), json);
            Arena arena = memory.own(Arena.ofShared());
            Map<Site, Form> forms = new HashMap<>();
            long bytes = 0;
            Map<String, List<Layout.Part>> parts = layout.parts(spec.layers().size());
            for (Map.Entry<String, Pair> entry : pairs(file).entrySet()) {
                String path = entry.getKey();
                Pair pair = entry.getValue();
                List<Layout.Part> sites = parts.getOrDefault(path, parts.get("model." + path));
                if (sites == null) {
                    throw new AdapterFault("tensor " + pair.a.name() + " belongs to no module of this base");
                }
                check(config, path, pair, sites, spec);
                Weight a = memory.own(kernels.weight(copy(pair.a, arena)));
                TensorView b = copy(pair.b, arena);
                bytes += pair.a.data().byteSize() + pair.b.data().byteSize();
                for (Layout.Part part : sites) {
                    forms.put(part.site(), new Form.LowRankDelta(a, memory.own(kernels.weight(b, part.rows())), config.scale(path)));
                }
            }
            return new LoadedAdapter(new AdapterWeights(name, spec.layers().size(), forms), bytes, memory);
        } catch (IOException | RuntimeException e) {
            memory.close();
            throw e;
        }
    }

    private TensorFile tensors() throws IOException {
        Path safe = folder.resolve("adapter_model.safetensors");
        if (Files.isRegularFile(safe)) {
            return SafeTensors.open(safe);
        }
        throw new AdapterFault(folder + " has no adapter_model.safetensors");
    }

    private record Pair(TensorView a, TensorView b) {}

    /** The A and B tensors by module path. */
    private static Map<String, Pair> pairs(TensorFile file) throws AdapterFault {
        Map<String, Pair> pairs = new TreeMap<>();
        for (TensorView tensor : file.tensors()) {
            String name = tensor.name().startsWith(PREFIX) ? tensor.name().substring(PREFIX.length()) : tensor.name();
            String path = stem(name, ".lora_A");
            boolean first = path != null;
            if (!first) {
                path = stem(name, ".lora_B");
            }
            if (path == null) {
                throw new AdapterFault("tensor " + tensor.name() + " is not part of a LoRA");
            }
            Pair other = pairs.getOrDefault(path, new Pair(null, null));
            pairs.put(path, first ? new Pair(tensor, other.b) : new Pair(other.a, tensor));
        }
        for (Map.Entry<String, Pair> entry : pairs.entrySet()) {
            if (entry.getValue().a == null || entry.getValue().b == null) {
                throw new AdapterFault("module " + entry.getKey() + " has no tensor lora_" + (entry.getValue().a == null ? "A" : "B"));
            }
        }
        if (pairs.isEmpty()) {
            throw new AdapterFault("the adapter has no tensors");
        }
        return pairs;
    }

    /** The path before {@code .lora_A.weight} or, as some versions wrote it, {@code .lora_A.default.weight}; null for other names. */
    private static String stem(String name, String marker) {
        for (String end : List.of(".weight", ".default.weight")) {
            if (name.endsWith(marker + end)) {
                return name.substring(0, name.length() - marker.length() - end.length());
            }
        }
        return null;
    }

    private static void check(LoraConfig config, String path, Pair pair, List<Layout.Part> sites, ArchitectureSpec spec) throws AdapterFault {
        int rank = config.rank(path);
        int in = -1;
        int out = 0;
        for (Layout.Part part : sites) {
            Module module = part.site().module();
            if (!LINEAR.contains(module)) {
                throw new AdapterFault("tensor " + pair.a.name() + ": a LoRA at " + part.site() + " is not supported");
            }
            in = spec.in(module);
            out += spec.out(module);
        }
        expect(pair.a, rank, in);
        expect(pair.b, out, rank);
    }

    private static void expect(TensorView tensor, int rows, int columns) throws AdapterFault {
        if (tensor.rank() != 2 || tensor.shape()[0] != rows || tensor.shape()[1] != columns) {
            throw new AdapterFault("tensor " + tensor.name() + " is " + tensor.describe() + ", this base needs [" + rows + ", " + columns + "]");
        }
        switch (tensor.dtype()) {
            case F32, F16, BF16 -> {}
            default -> throw new AdapterFault("tensor " + tensor.name() + " is " + tensor.describe() + "; F32, F16 or BF16 are supported");
        }
    }

    private static TensorView copy(TensorView view, Arena arena) {
        MemorySegment data = arena.allocate(view.data().byteSize(), 64).copyFrom(view.data());
        return new TensorView(view.name(), view.dtype(), view.shape(), data);
    }
}
