package dev.polyphon.engine.verify;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.polyphon.engine.adapter.ops.Combine;
import dev.polyphon.engine.weights.Floats;
import dev.polyphon.engine.weights.MalformedFileException;
import dev.polyphon.engine.weights.SafeTensors;
import dev.polyphon.engine.weights.TensorFile;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * One reference case: {@code case.json} and {@code expected.safetensors}.
 *
 * @param base folder of the base, under {@code bases}
 * @param adapter folder of the adapter, under {@code adapters}; null for the base alone
 * @param prompts token ids
 * @param greedy the ids that follow each prompt
 * @param task which task of a multi-task adapter, or null
 * @param combination of which adapters, by PEFT's names of methods, the adapter is to be made; null for one that is there
 */
record ReferenceCase(String name, Path folder, String base, String adapter, int[][] prompts, int[][] greedy, double absolute,
        double relative, String task, Combination combination) {

    /** What {@code add_weighted_adapter} was called with. */
    record Combination(List<String> adapters, double[] weights, Combine.Options options) {
        static Combination read(JsonNode json) throws IOException {
            List<String> names = new ArrayList<>();
            json.path("adapters").forEach(n -> names.add(n.asText()));
            double[] weights = new double[names.size()];
            for (int i = 0; i < weights.length; i++) {
                weights[i] = json.path("weights").path(i).asDouble();
            }
            return new Combination(names, weights, new Combine.Options(Combine.Method.of(json.path("method").asText()),
                    json.path("density").asDouble(1), json.path("majority_sign_method").asText().equals("frequency"), json.path("svd_rank").asInt(), 0));
        }
    }

    static ReferenceCase read(Path folder) throws IOException {
        Path file = folder.resolve("case.json");
        JsonNode json = new ObjectMapper().readTree(Files.readAllBytes(file));
        JsonNode tolerance = json.path("tolerance");
        if (!json.path("base").isTextual() || json.path("prompts").isEmpty() || !tolerance.path("absolute").isNumber()) {
            throw new MalformedFileException(file, "needs base, prompts, greedy and tolerance");
        }
        String name = folder.getFileName().toString();
        Combination combination = json.hasNonNull("combine") ? Combination.read(json.get("combine")) : null;
        return new ReferenceCase(name, folder, json.path("base").asText(), combination != null ? name : json.path("adapter").textValue(),
                ids(json.path("prompts")), ids(json.path("greedy")), tolerance.path("absolute").asDouble(),
                tolerance.path("relative").asDouble(), json.hasNonNull("task") ? json.get("task").asText() : null, combination);
    }

    /** The same expectations of a base alone. */
    ReferenceCase ofBase() {
        return new ReferenceCase(name, folder, base, null, prompts, greedy, absolute, relative, null, null);
    }

    private static int[][] ids(JsonNode lists) {
        int[][] ids = new int[lists.size()][];
        for (int i = 0; i < ids.length; i++) {
            JsonNode list = lists.get(i);
            ids[i] = new int[list.size()];
            for (int j = 0; j < ids[i].length; j++) {
                ids[i][j] = list.get(j).asInt();
            }
        }
        return ids;
    }

    /** The expected logits of each prompt, [prompt length · vocabulary]. */
    List<float[]> expected() throws IOException {
        try (TensorFile file = SafeTensors.open(folder.resolve("expected.safetensors"))) {
            List<float[]> logits = new ArrayList<>();
            for (int i = 0; i < prompts.length; i++) {
                String name = "logits." + i;
                logits.add(Floats.all(file.find(name).orElseThrow(
                        () -> new MalformedFileException(folder.resolve("expected.safetensors"), "no tensor " + name))));
            }
            return logits;
        }
    }

    Optional<String> adapterName() {
        return Optional.ofNullable(adapter);
    }
}
