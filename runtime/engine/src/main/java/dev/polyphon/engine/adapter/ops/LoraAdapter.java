package dev.polyphon.engine.adapter.ops;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polyphon.engine.adapter.Delta;
import dev.polyphon.engine.adapter.Matrix;
import dev.polyphon.engine.model.Checkpoint;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Collectors;

/**
 * A plain LoRA adapter: factors by module path, y += B (A x), every scale worked into B.
 */
public record LoraAdapter(Map<String, Factors> modules) {
    private static final String PREFIX = "base_model.model.";

    /** A [rank, in] and B [out, rank]. */
    public record Factors(Matrix a, Matrix b) {
        public Factors {
            if (a.rows() != b.columns()) {
                throw new IllegalArgumentException("factors of rank " + a.rows() + " and " + b.columns());
            }
        }

        static Factors of(Delta.LowRank delta) {
            return new Factors(delta.a(), delta.b().times(delta.scale()));
        }

        public int rank() {
            return a.rows();
        }
    }

    public LoraAdapter {
        modules = new TreeMap<>(modules);
    }

    /** Writes a folder as PEFT saves it, whole or not at all. */
    public void save(Path folder, Checkpoint base) throws IOException {
        int rank = modules.values().stream().mapToInt(Factors::rank).max().orElse(1);
        ObjectNode config = JsonNodeFactory.instance.objectNode();
        config.put("peft_type", "LORA").put("task_type", "CAUSAL_LM").put("r", rank).put("lora_alpha", rank).put("bias", "none")
                .put("fan_in_fan_out", modules.keySet().stream().anyMatch(transposed(base)::contains)).put("inference_mode", true);
        ObjectNode ranks = config.putObject("rank_pattern");
        ObjectNode alphas = config.putObject("alpha_pattern");
        targets(base).forEach(config.putArray("target_modules")::add);
        SavedAdapter saved = new SavedAdapter(config);
        modules.forEach((path, factors) -> {
            if (factors.rank() != rank) {
                ranks.put(path, factors.rank());
                alphas.put(path, factors.rank());
            }
            saved.put(PREFIX + path + ".lora_A.weight", factors.a);
            saved.put(PREFIX + path + ".lora_B.weight", factors.b);
        });
        saved.save(folder);
    }

    private static Set<String> transposed(Checkpoint base) {
        return base.layout().parts(base.spec()).entrySet().stream()
                .filter(e -> base.layout().place(e.getValue().getFirst().site().module()).orElseThrow().transposed())
                .map(Map.Entry::getKey).collect(Collectors.toSet());
    }

    /** Names of modules where these are all of their name, otherwise paths. */
    List<String> targets(Checkpoint base) {
        Set<String> linear = base.layout().parts(base.spec()).entrySet().stream()
                .filter(e -> e.getValue().getFirst().site().module().linear())
                .map(Map.Entry::getKey).collect(Collectors.toSet());
        Set<String> targets = new TreeSet<>();
        for (String path : modules.keySet()) {
            String name = path.substring(path.lastIndexOf('.') + 1);
            boolean all = linear.stream().filter(p -> p.equals(name) || p.endsWith("." + name)).allMatch(modules::containsKey);
            targets.add(all ? name : path);
        }
        return new ArrayList<>(targets);
    }
}
