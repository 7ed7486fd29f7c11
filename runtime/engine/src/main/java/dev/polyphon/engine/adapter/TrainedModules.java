package dev.polyphon.engine.adapter;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
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
 * Compares what a configuration says was trained, {@code target_modules}, {@code target_parameters}, {@code modules_to_save} and
 * {@code trainable_token_indices}, with what there are tensors for. The tensors alone say what is computed; but an adapter all of whose tensors for a
 * module were lost would be another one than was trained, and nothing else shows it.
 *
 * <p>A module may lack its tensors in some layers: who trains the last layers only does not always say so. Names that the base has no module for are
 * those of other bases that the same list is used with.
 */
final class TrainedModules {
    private static final Pattern LAYER = Pattern.compile("\\.(\\d+)\\.");
    private static final String EVERYTHING = "all-linear";

    private TrainedModules() {}

    /** @throws AdapterFault when there is not one tensor for something that is named */
    static void check(AdapterOptions options, AdapterTensors tensors, AdapterBuilder base) throws IOException {
        targets(options, tensors, base);
        parameters(options, tensors, base);
        saved(options, tensors, base);
        JsonNode tokens = options.json("trainable_token_indices");
        if (tokens.isContainerNode() && !tokens.isEmpty() && tensors.modules(".trainable_tokens_delta").isEmpty()) {
            throw new AdapterFault("trainable_token_indices names tokens, for which there are no tensors");
        }
    }

    private static void targets(AdapterOptions options, AdapterTensors tensors, AdapterBuilder base) throws AdapterFault {
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
                kinds.computeIfAbsent(kind(path), k -> new ArrayList<>()).add(path);
            }
        }
        for (Map.Entry<String, List<String>> kind : kinds.entrySet()) {
            if (kind.getValue().stream().noneMatch(trained::contains)) {
                throw new AdapterFault("target_modules names " + kind.getKey() + ", for which there are no tensors");
            }
        }
    }

    /** PEFT's LoRA of parameters that are not modules' weights has its tensors under the module that holds them. */
    private static void parameters(AdapterOptions options, AdapterTensors tensors, AdapterBuilder base) throws IOException {
        for (String parameter : options.strings("target_parameters")) {
            String module = parameter.substring(0, Math.max(0, parameter.lastIndexOf('.')));
            boolean there = base.modules().stream().anyMatch(path -> ends(path, module) || path.contains("." + module + "."));
            if (there && tensors.names().stream().noneMatch(tensor -> tensor.contains(module + ".") && tensor.contains(".lora_"))) {
                throw new AdapterFault("target_parameters names " + parameter + ", for which there are no tensors");
            }
        }
    }

    private static void saved(AdapterOptions options, AdapterTensors tensors, AdapterBuilder base) throws IOException {
        Set<String> saved = new HashSet<>();
        for (String path : tensors.modules(".weight")) {
            base.module(path).ifPresent(found -> saved.add(kind(found)));
        }
        for (String name : options.strings("modules_to_save")) {
            for (String path : base.modules()) {
                if (ends(path, name) && !saved.contains(kind(path))) {
                    throw new AdapterFault("modules_to_save names " + kind(path) + ", for which there are no tensors");
                }
            }
        }
    }

    private static boolean ends(String path, String name) {
        return path.equals(name) || path.endsWith("." + name);
    }

    /** A module's path for all layers. */
    private static String kind(String path) {
        return LAYER.matcher(path).replaceAll(".*.");
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
