package dev.polyphon.engine.verify;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polyphon.engine.adapter.AdapterFolder;
import dev.polyphon.engine.adapter.ops.SavedAdapter;
import dev.polyphon.engine.backend.cpu.CpuKernels;
import dev.polyphon.engine.verify.Verifier.Mode;
import dev.polyphon.engine.weights.Floats;
import dev.polyphon.engine.weights.SafeTensors;
import dev.polyphon.engine.weights.TensorFile;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Every option of PEFT's configurations ({@code peft-options.json}, made by {@code clients/vectors/peft_options.py}), set to another value than the
 * reference adapter of its kind has. What comes of it is decided there: {@code same}, the reference's outputs, as the option is for training or the tensors
 * say it by themselves; {@code different} outputs, as it is honoured; or {@code refused}, by a message that names the option or a tensor that does not fit it.
 */
class PeftOptionsTest {
    private static final Path GOLDEN = Path.of("src/test/resources/golden").toAbsolutePath();
    private static final ObjectMapper JSON = new ObjectMapper();

    @TempDir
    Path root;

    @Test
    void eachOptionIsHonouredRefusedOrWithoutEffectAsDecided() throws IOException {
        JsonNode options = JSON.readTree(PeftOptionsTest.class.getResourceAsStream("/peft-options.json"));
        Files.createSymbolicLink(root.resolve("bases"), GOLDEN.resolve("bases"));
        Map<String, JsonNode> cases = new TreeMap<>();
        Set<String> kinds = new HashSet<>();
        for (JsonNode option : options.path("options")) {
            String kind = option.path("kind").asText();
            String field = option.path("option").asText();
            kinds.add(kind);
            cases.put(kind + "." + field, option);
            write(kind + "." + field, options.path("adapters").path(kind).asText(), field, option.path("value"));
        }
        assertThat(kinds).hasSizeGreaterThan(20);
        List<Verdict> verdicts = new Verifier(root, () -> CpuKernels.open(2)).run("*", EnumSet.of(Mode.ALONE), verdict -> {});
        assertThat(verdicts).hasSameSizeAs(cases.keySet());
        List<String> otherwise = new ArrayList<>();
        for (Verdict verdict : verdicts) {
            JsonNode option = cases.get(verdict.name());
            String found = outcome(verdict.failure(), option.path("option").asText());
            if (!found.equals(option.path("outcome").asText())) {
                otherwise.add(verdict.name() + " = " + option.path("value") + ": " + found + " (" + verdict.failure() + ")");
            }
        }
        assertThat(otherwise).isEmpty();
    }

    /** Whole modules may be saved beside adapters of any kind: the base's own norm changes nothing, twice that norm does. */
    @Test
    void modulesAreSavedBesideAnyKind() throws IOException {
        JsonNode adapters = JSON.readTree(PeftOptionsTest.class.getResourceAsStream("/peft-options.json")).path("adapters");
        Files.createSymbolicLink(root.resolve("bases"), GOLDEN.resolve("bases"));
        float[] norm;
        try (TensorFile base = SafeTensors.open(GOLDEN.resolve("bases/llama/model.safetensors"))) {
            norm = Floats.all(base.find("model.norm.weight").orElseThrow());
        }
        for (Map.Entry<String, JsonNode> kind : adapters.properties()) {
            if (kind.getKey().equals("LN_TUNING")) {
                continue; // It trains that norm itself.
            }
            for (int times : new int[] {1, 2}) {
                String name = kind.getKey() + "." + times;
                reference(name, kind.getValue().asText());
                SavedAdapter saved = SavedAdapter.read(AdapterFolder.open(GOLDEN.resolve("adapters").resolve(kind.getValue().asText())));
                saved.config().putArray("modules_to_save").add("model.norm");
                float[] values = norm.clone();
                for (int i = 0; i < values.length; i++) {
                    values[i] *= times;
                }
                saved.put("base_model.model.model.norm.weight", new long[] {values.length}, values);
                saved.save(root.resolve("adapters").resolve(name));
            }
        }
        List<Verdict> verdicts = new Verifier(root, () -> CpuKernels.open(2)).run("*", EnumSet.of(Mode.ALONE), verdict -> {});
        assertThat(verdicts).hasSize(2 * adapters.size() - 2);
        assertThat(verdicts).allSatisfy(v -> assertThat(outcome(v.failure(), "")).as(v.toString()).isEqualTo(v.name().endsWith("1") ? "same" : "different"));
    }

    private static String outcome(String failure, String option) {
        if (failure == null) {
            return "same";
        }
        if (failure.startsWith("a logit is off")) {
            return "different";
        }
        return failure.contains(option) || failure.startsWith("tensor ") ? "refused" : "refused without the reason";
    }

    private void write(String name, String adapter, String option, JsonNode value) throws IOException {
        Path folder = copy("adapters", adapter, name);
        Path file = folder.resolve("adapter_config.json");
        ObjectNode config = (ObjectNode) JSON.readTree(file.toFile());
        config.set(option, value);
        JSON.writeValue(file.toFile(), config);
        reference(name, adapter);
    }

    private void reference(String name, String adapter) throws IOException {
        Path reference = copy("cases", adapter, name).resolve("case.json");
        ObjectNode json = (ObjectNode) JSON.readTree(reference.toFile());
        json.put("name", name).put("adapter", name);
        JSON.writeValue(reference.toFile(), json);
    }

    private Path copy(String kind, String from, String to) throws IOException {
        Path folder = Files.createDirectories(root.resolve(kind).resolve(to));
        try (Stream<Path> files = Files.list(GOLDEN.resolve(kind).resolve(from))) {
            for (Path file : files.toList()) {
                Files.copy(file, folder.resolve(file.getFileName()));
            }
        }
        return folder;
    }
}
