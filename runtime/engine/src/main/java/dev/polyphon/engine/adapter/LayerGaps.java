package dev.polyphon.engine.adapter;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.Predicate;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/**
 * Finds modules that an adapter has tensors for in some layers and not in others, where its configuration does not say so: it may have been trained that
 * way, or have lost them. Layers, modules and names are those of the tensors, so that no base is needed.
 */
final class LayerGaps {
    /** A number after one of the names that models give their list of layers, as PEFT's {@code COMMON_LAYERS_PATTERN} has them. */
    private static final Pattern LAYER = Pattern.compile("(?<=(?:^|\\.)(?:layers?|blocks?|h)\\.)(\\d{1,9})(?=\\.)");
    private static final int MOST_WARNINGS = 20;

    private final AdapterOptions options;
    private final Set<Integer> leftOut = new TreeSet<>();
    /** Null for all. */
    private Set<Integer> chosen;

    private LayerGaps(AdapterOptions options) {
        this.options = options;
        leftOut(options.root());
    }

    /**
     * A sentence for each module.
     *
     * @param names of all tensors
     * @param layers of the base; 0 where it is not known, and there are as many as any tensor shows
     * @param exists whether a base has a tensor's module in a layer: is asked with the name as it would be there
     */
    static List<String> of(AdapterOptions options, Collection<String> names, int layers, Predicate<String> exists) throws AdapterFault {
        Map<String, Set<Integer>> found = new TreeMap<>();
        int count = layers;
        for (String tensor : names) {
            String name = AdapterTensors.withoutPrefix(tensor);
            Matcher layer = LAYER.matcher(name);
            if (layer.find()) {
                int number = Integer.parseInt(layer.group());
                found.computeIfAbsent(name.substring(0, layer.start()) + "*" + name.substring(layer.end()), k -> new TreeSet<>()).add(number);
                count = layers > 0 ? layers : Math.max(count, number + 1);
            }
        }
        LayerGaps gaps = new LayerGaps(options);
        Map<String, Set<Integer>> lacking = new TreeMap<>();
        for (Map.Entry<String, Set<Integer>> kind : found.entrySet()) {
            if (kind.getValue().size() < count) {
                for (int layer = 0; layer < count; layer++) {
                    String name = kind.getKey().replaceFirst("\\*", Integer.toString(layer));
                    if (!kind.getValue().contains(layer) && exists.test(name) && gaps.expected(name, layer)) {
                        lacking.computeIfAbsent(gaps.module(kind.getKey()), m -> new TreeSet<>()).add(layer);
                    }
                }
            }
        }
        List<String> warnings = new ArrayList<>();
        lacking.forEach((module, without) -> warnings.add(module + " is adapted, but not in layer" + (without.size() > 1 ? "s " : " ") + ranges(without)
                + "; the configuration does not say that " + (without.size() > 1 ? "these were" : "it was") + " left out"));
        if (warnings.size() > MOST_WARNINGS) {
            warnings.set(MOST_WARNINGS, "and " + (warnings.size() - MOST_WARNINGS) + " modules more");
            warnings.subList(MOST_WARNINGS + 1, warnings.size()).clear();
        }
        return List.copyOf(warnings);
    }

    /** AdapterHub's {@code leave_out}, in an adapter's configuration or in those of a union's parts; its {@code layers} are the only ones. */
    private void leftOut(JsonNode config) {
        for (JsonNode layer : config.path("leave_out")) {
            leftOut.add(layer.asInt());
        }
        JsonNode layers = config.path("layers");
        if (layers.isArray()) {
            chosen = chosen == null ? new TreeSet<>() : chosen;
            layers.forEach(layer -> chosen.add(layer.asInt()));
        }
        config.forEach(this::leftOut);
    }

    /** Whether, as far as the configuration says, there should be a tensor of this name. */
    private boolean expected(String name, int layer) throws AdapterFault {
        if (leftOut.contains(layer) || chosen != null && !chosen.contains(layer) || namesModuleOf("exclude_modules", name) || !TrainedModules.inChosenLayer(options, name)) {
            return false;
        }
        JsonNode targets = options.json("target_modules");
        boolean named = targets.isArray() && !targets.isEmpty() || targets.isTextual() && !targets.asText().equals(TrainedModules.EVERYTHING);
        return !named || namesModuleOf("target_modules", name) || namesModuleOf("modules_to_save", name);
    }

    /** Whether an option names a module that such a tensor may belong to. */
    private boolean namesModuleOf(String key, String tensor) throws AdapterFault {
        for (int dot = tensor.lastIndexOf('.'); dot > 0; dot = tensor.lastIndexOf('.', dot - 1)) {
            if (TrainedModules.names(options, key, tensor.substring(0, dot))) {
                return true;
            }
        }
        return false;
    }

    /** A tensor's module: what the configuration names, or else all of its name but the last part. */
    private String module(String kind) throws AdapterFault {
        for (String key : List.of("target_modules", "modules_to_save")) {
            for (int dot = kind.lastIndexOf('.'); dot > 0 && options.json(key).isArray(); dot = kind.lastIndexOf('.', dot - 1)) {
                if (TrainedModules.names(options, key, kind.substring(0, dot))) {
                    return kind.substring(0, dot);
                }
            }
        }
        int lora = kind.indexOf(".lora_");
        return lora > 0 ? kind.substring(0, lora) : kind.contains(".") ? kind.substring(0, kind.lastIndexOf('.')) : kind;
    }

    /** 0-3, 7 for 0, 1, 2, 3 and 7. */
    private static String ranges(Set<Integer> numbers) {
        List<int[]> ranges = new ArrayList<>();
        for (int number : numbers) {
            if (!ranges.isEmpty() && ranges.getLast()[1] == number - 1) {
                ranges.getLast()[1] = number;
            } else {
                ranges.add(new int[] {number, number});
            }
        }
        return ranges.stream().map(range -> range[0] == range[1] ? "" + range[0] : range[0] + "-" + range[1]).collect(Collectors.joining(", "));
    }
}
