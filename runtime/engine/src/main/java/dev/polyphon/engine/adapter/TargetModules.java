package dev.polyphon.engine.adapter;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;
import java.util.stream.IntStream;

/**
 * Compares the modules that a configuration says were trained, {@code target_modules}, with those that there are tensors for. The tensors alone say what
 * is computed; but an adapter all of whose tensors for a module were lost would be another one than was trained, and nothing else shows it.
 *
 * <p>A module may lack its tensors in some layers: who trains the last layers only does not always say so. Names that the base has no module for are
 * those of other bases that the same list is used with.
 */
final class TargetModules {
    private static final Pattern LAYER = Pattern.compile("\\.(\\d+)\\.");
    private static final String EVERYTHING = "all-linear";

    private TargetModules() {}

    /** @throws AdapterFault when there is not one tensor for a module that is named */
    static void check(AdapterOptions options, AdapterTensors tensors, AdapterBuilder base) throws AdapterFault {
        JsonNode targets = options.json("target_modules");
        if (targets.isMissingNode() || targets.isNull() || targets.asText().equals(EVERYTHING)) {
            return;
        }
        Set<String> trained = new HashSet<>();
        for (String tensor : tensors.names()) {
            for (int dot = tensor.length(); dot > 0; dot = tensor.lastIndexOf('.', dot - 1)) {
                base.module(tensor.substring(0, dot)).ifPresent(trained::add);
            }
        }
        Map<String, List<String>> kinds = new TreeMap<>();
        for (String path : base.modules()) {
            if (names(options, "target_modules", path) && !names(options, "exclude_modules", path) && inChosenLayer(options, path)) {
                kinds.computeIfAbsent(LAYER.matcher(path).replaceAll(".*."), k -> new ArrayList<>()).add(path);
            }
        }
        for (Map.Entry<String, List<String>> kind : kinds.entrySet()) {
            if (kind.getValue().stream().noneMatch(trained::contains)) {
                throw new AdapterFault("target_modules names " + kind.getKey() + ", for which there are no tensors");
            }
        }
    }

    private static boolean names(AdapterOptions options, String key, String path) throws AdapterFault {
        try {
            return options.names(key, path);
        } catch (PatternSyntaxException e) {
            // Python's expressions are not quite Java's. What cannot be compared is left to the tensors.
            return false;
        }
    }

    private static boolean inChosenLayer(AdapterOptions options, String path) {
        JsonNode chosen = options.json("layers_to_transform");
        Matcher layer = LAYER.matcher(path);
        if (chosen.isMissingNode() || chosen.isNull() || !layer.find()) {
            return true;
        }
        String number = layer.group(1);
        return chosen.isArray()
                ? chosen.isEmpty() || IntStream.range(0, chosen.size()).anyMatch(i -> chosen.get(i).asText().equals(number))
                : chosen.asText().equals(number);
    }
}
