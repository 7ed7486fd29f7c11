package dev.polyphon.engine.adapter;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polyphon.engine.adapter.ops.SavedAdapter;
import dev.polyphon.engine.backend.Kernels;
import dev.polyphon.engine.backend.cpu.CpuKernels;
import dev.polyphon.engine.model.Checkpoint;
import dev.polyphon.engine.weights.DType;
import dev.polyphon.engine.weights.Floats;
import dev.polyphon.engine.weights.TensorView;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.Predicate;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Every adapter of the reference vectors, damaged in each way in which files are: it is refused, and the message names what is wrong. */
class MalformedAdaptersTest {
    private static final Path GOLDEN = Path.of("src/test/resources/golden");

    @TempDir
    Path scratch;

    private final Set<String> promises = new TreeSet<>();
    private int written;

    @Test
    void damagedAdaptersAreRefusedWithTheReason() throws IOException {
        List<String> accepted = new ArrayList<>();
        Map<String, Map<String, String>> byBase = new TreeMap<>();
        try (Stream<Path> cases = Files.list(GOLDEN.resolve("cases"))) {
            for (Path folder : cases.sorted().toList()) {
                JsonNode json = new ObjectMapper().readTree(Files.readAllBytes(folder.resolve("case.json")));
                if (json.hasNonNull("adapter")) {
                    byBase.computeIfAbsent(json.path("base").asText(), b -> new TreeMap<>()).put(json.path("adapter").asText(), json.path("task").textValue());
                }
            }
        }
        try (Kernels kernels = CpuKernels.open(1)) {
            for (Map.Entry<String, Map<String, String>> ofBase : byBase.entrySet()) {
                try (Checkpoint base = Checkpoint.open(GOLDEN.resolve("bases").resolve(ofBase.getKey()))) {
                    for (Map.Entry<String, String> adapter : ofBase.getValue().entrySet()) {
                        damage(adapter.getKey(), adapter.getValue(), base, kernels, accepted);
                    }
                }
            }
        }
        assertThat(accepted).isEmpty();
        assertThat(promises).containsExactly("lora_bias", "modules_to_save", "target_parameters", "trainable_token_indices");
    }

    private void damage(String name, String task, Checkpoint base, Kernels kernels, List<String> accepted) throws IOException {
        AdapterFolder original = AdapterFolder.open(GOLDEN.resolve("adapters").resolve(name));
        SavedAdapter saved = SavedAdapter.read(original);
        Map<String, TensorView> kinds = new LinkedHashMap<>();
        saved.tensors().values().forEach(tensor -> kinds.putIfAbsent(tensor.name().replaceAll("\\d+", "#"), tensor));
        for (TensorView tensor : kinds.values()) {
            if (copy(tensor.name(), saved)) {
                continue;
            }
            boolean numbers = tensor.dtype() == DType.F32 || tensor.dtype() == DType.F16 || tensor.dtype() == DType.BF16;
            if (numbers) {
                float value = kinds.size() % 2 == 0 ? Float.NaN : Float.POSITIVE_INFINITY;
                SavedAdapter broken = SavedAdapter.read(original);
                float[] values = Floats.all(tensor);
                values[values.length - 1] = value;
                broken.put(tensor.name(), tensor.shape(), values);
                expect(broken, name, task, base, kernels, tensor.name() + " with " + value, accepted);
                for (int more : new int[] {1, -1}) {
                    resized(tensor, more, original, name, task, base, kernels, accepted);
                }
            }
            SavedAdapter surplus = SavedAdapter.read(original);
            surplus.put(tensor.name() + ".more", tensor.shape(), Floats.all(tensor));
            expect(surplus, name, task, base, kernels, tensor.name() + ".more besides", accepted);
        }
        for (JsonNode target : original.config().path("target_modules")) {
            SavedAdapter lost = SavedAdapter.read(original);
            String module = "." + target.asText().replaceAll("\\d+", "#") + ".";
            lost.tensors().keySet().removeIf(tensor -> ("." + tensor).replaceAll("\\d+", "#").contains(module));
            if (!lost.tensors().isEmpty() && lost.tensors().size() < saved.tensors().size()) {
                expect(lost, name, task, base, kernels, "no tensor for " + target.asText(), accepted);
            }
        }
        lost("modules_to_save", saved, tensor -> original.config().path("modules_to_save").valueStream().anyMatch(m -> tensor.endsWith(m.asText() + ".weight")),
                original, name, task, base, kernels, accepted);
        lost("trainable_token_indices", saved, tensor -> tensor.endsWith(".trainable_tokens_delta"), original, name, task, base, kernels, accepted);
        lost("lora_bias", saved, tensor -> tensor.endsWith(".lora_B.bias"), original, name, task, base, kernels, accepted);
        lost("target_parameters", saved, tensor -> original.config().path("target_parameters").valueStream()
                .anyMatch(p -> tensor.contains("." + p.asText().replaceFirst("\\.[^.]*$", ".lora_"))), original, name, task, base, kernels, accepted);
        SavedAdapter option = SavedAdapter.read(original);
        ObjectNode where = option.config().path("config").isObject() ? (ObjectNode) option.config().path("config") : option.config();
        where.put("invented_later", 3);
        expect(option, name, task, base, kernels, "an unknown option", accepted);
    }

    /** Without the tensors that an option of the configuration promises. */
    private void lost(String option, SavedAdapter saved, Predicate<String> tensors, AdapterFolder original, String name, String task, Checkpoint base,
            Kernels kernels, List<String> accepted) throws IOException {
        SavedAdapter lost = SavedAdapter.read(original);
        lost.tensors().keySet().removeIf(tensors);
        if (original.config().hasNonNull(option) && !lost.tensors().isEmpty() && lost.tensors().size() < saved.tensors().size()) {
            promises.add(option);
            expect(lost, name, task, base, kernels, "no tensor for " + option, accepted);
        }
    }

    /** What libraries save a second time; the reader takes the first. */
    private static boolean copy(String name, SavedAdapter saved) {
        return name.contains(".pool.") || name.startsWith("base_model.randlora_") && saved.tensors().keySet().stream().anyMatch(n -> n.endsWith("_proj.randlora_A"));
    }

    private void resized(TensorView tensor, int more, AdapterFolder original, String name, String task, Checkpoint base, Kernels kernels,
            List<String> accepted) throws IOException {
        long[] shape = tensor.shape().clone();
        int last = shape.length - 1;
        // Bases that modules of several sizes share may be larger than each needs.
        boolean shared = tensor.name().matches(".*(vera_[AB]|randlora_gamma)");
        if (last < 0 || shape[last] + more < 1 || shared && more > 0 || tensor.name().matches(".*randlora_[AB]")) {
            return;
        }
        int rows = Math.toIntExact(tensor.elements() / shape[last]);
        shape[last] += more;
        SavedAdapter other = SavedAdapter.read(original);
        other.put(tensor.name(), shape, new float[Math.toIntExact(rows * shape[last])]);
        expect(other, name, task, base, kernels, tensor.name() + " with " + shape[last] + " columns", accepted);
    }

    private void expect(SavedAdapter broken, String name, String task, Checkpoint base, Kernels kernels, String how, List<String> accepted) throws IOException {
        Path folder = scratch.resolve("a" + written++);
        broken.save(folder);
        try (LoadedAdapter loaded = AdapterFolder.open(folder).load(name, task, base, kernels)) {
            accepted.add(name + ": " + how + " is accepted, " + loaded.bytes() + " bytes");
        } catch (AdapterFault e) {
            if (e.getMessage() == null || e.getMessage().isBlank()) {
                accepted.add(name + ": " + how + " is refused without a reason");
            }
        } catch (RuntimeException e) {
            accepted.add(name + ": " + how + " fails with " + e);
        } catch (IOException e) {
            // The configuration's own complaints, which name the file and the key.
        }
    }
}
