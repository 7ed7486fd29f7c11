package dev.polyphon.engine.adapter;

import com.fasterxml.jackson.databind.JsonNode;
import dev.polyphon.engine.model.Layout;
import dev.polyphon.engine.model.Module;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/**
 * Compares what a configuration says was trained, {@code target_modules}, {@code target_parameters}, {@code modules_to_save},
 * {@code trainable_token_indices} and {@code bias}, with what there are tensors for. The tensors alone say what is computed; but an adapter all of whose tensors for a
 * module were lost would be another one than was trained, and nothing else shows it.
 *
 * <p>A module may lack its tensors in some layers: who trains the last layers only does not always say so. {@link LayerGaps} tells of those. Names that the base has no module for are
 * those of other bases that the same list is used with.
 */
final class TrainedModules {
    private static final Pattern LAYER = Pattern.compile("\\.(\\d+)\\.");
    static final String EVERYTHING = "all-linear";

    private TrainedModules() {}

    /** @throws AdapterFault when there is not one tensor for something that is named */
    static void check(AdapterOptions options, AdapterTensors tensors, AdapterBuilder base) throws IOException {
        targets(options, tensors, base);
        parameters(options, tensors, base);
        saved(options, tensors, base);
        biases(options, tensors, base);
        JsonNode tokens = options.json("trainable_token_indices");
        if (tokens.isContainerNode() && !tokens.isEmpty() && tensors.modules(".trainable_tokens_delta").isEmpty()) {
            throw new AdapterFault("trainable_token_indices names tokens, for which there are no tensors");
        }
    }

    private static void targets(AdapterOptions options, AdapterTensors tensors, AdapterBuilder base) throws AdapterFault {
        JsonNode targets = options.json("target_modules");
        if (targets.isMissingNode() || targets.isNull()) {
            return;
        }
        boolean everything = targets.asText().equals(EVERYTHING);
        Set<String> trained = adapted(tensors.names(), base);
        Map<String, List<String>> kinds = new TreeMap<>();
        for (String path : base.modules()) {
            if ((everything ? linear(path, base) : names(options, "target_modules", path)) && !names(options, "exclude_modules", path) && inChosenLayer(options, path)) {
                kinds.computeIfAbsent(kind(path), k -> new ArrayList<>()).add(path);
            }
        }
        for (Map.Entry<String, List<String>> kind : kinds.entrySet()) {
            if (kind.getValue().stream().noneMatch(trained::contains)) {
                throw new AdapterFault("target_modules names " + kind.getKey() + ", for which there are no tensors");
            }
        }
    }

    /** Whether a module is one of all linear ones as PEFT counts them: not the head, nor what routes to experts, whose own are parameters to it. */
    private static boolean linear(String path, AdapterBuilder base) throws AdapterFault {
        Module module = base.target(path, path).module();
        return module.linear() && module != Module.HEAD && module != Module.ROUTER && !(module.perExpert() && base.spec().experts() != null) && base.stored(path);
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

    /** PEFT saves a module in every layer; it takes any ending of a path for its name. */
    private static void saved(AdapterOptions options, AdapterTensors tensors, AdapterBuilder base) throws IOException {
        Set<String> saved = modulesWith(tensors, base, ".weight");
        for (String name : options.strings("modules_to_save")) {
            for (String path : base.modules()) {
                if (path.endsWith(name) && base.stored(path) && !saved.contains(path)) {
                    throw new AdapterFault("modules_to_save names " + name + ", but tensor " + path + ".weight is missing");
                }
            }
        }
    }

    /** {@code all} are the biases of every layer that has one, norms too, {@code lora_only} and its like those of the layers with a delta. */
    private static void biases(AdapterOptions options, AdapterTensors tensors, AdapterBuilder base) throws AdapterFault {
        boolean ofAdapted = SavedBiases.ofAdapted(options);
        JsonNode bias = options.json("bias");
        if (!AdapterOptions.isSet(bias)) {
            return;
        }
        Set<String> saved = modulesWith(tensors, base, ".bias", ".base_layer.bias");
        for (String path : ofAdapted ? adapted(tensors.names().stream().filter(name -> !name.endsWith(".bias")).toList(), base) : base.modules()) {
            if (base.stored(path) && biased(base, path) && !saved.contains(path)) {
                throw new AdapterFault("bias = " + bias.asText() + ", but tensor " + path + ".bias is missing");
            }
        }
    }

    /**
     * An embedding and a head that are one and stay one are saved as two, each with what was trained.
     *
     * @throws AdapterFault when one of them has tensors and the other has none
     */
    static void checkTied(AdapterTensors tensors, AdapterBuilder base) throws AdapterFault {
        List<Module> trained = Stream.of(Module.EMBED, Module.HEAD)
                .filter(module -> tensors.names().stream().anyMatch(name -> base.of(module, name) && !name.endsWith(".trainable_tokens_delta"))).toList();
        if (trained.size() == 1) {
            throw new AdapterFault("ensure_weight_tying = true, but of embedding and head, which are one in this base, only the "
                    + (trained.getFirst() == Module.EMBED ? "embedding" : "head") + " has tensors");
        }
    }

    /** The base's modules that tensors are of. */
    private static Set<String> adapted(Collection<String> tensors, AdapterBuilder base) {
        Set<String> modules = new HashSet<>();
        for (String tensor : tensors) {
            for (int dot = tensor.length(); dot > 0; dot = tensor.lastIndexOf('.', dot - 1)) {
                base.module(tensor.substring(0, dot)).ifPresent(modules::add);
            }
        }
        return modules;
    }

    private static boolean biased(AdapterBuilder base, String path) throws AdapterFault {
        AdapterBuilder.Target target = base.target(path, path);
        for (Layout.Part part : target.sites()) {
            if (base.baseBias(part.site()) != null) {
                return true;
            }
        }
        return false;
    }

    /** Paths of the base's modules that there are such tensors for. */
    private static Set<String> modulesWith(AdapterTensors tensors, AdapterBuilder base, String... endings) {
        return tensors.modules(endings).stream().map(base::module).flatMap(Optional::stream).collect(Collectors.toSet());
    }

    private static boolean ends(String path, String name) {
        return path.equals(name) || path.endsWith("." + name);
    }

    /** A module's path for all layers. */
    private static String kind(String path) {
        return LAYER.matcher(path).replaceAll(".*.");
    }

    static boolean names(AdapterOptions options, String key, String path) throws AdapterFault {
        try {
            return options.names(key, path);
        } catch (PatternSyntaxException e) {
            // Python's expressions are not quite Java's. What cannot be compared is left to the tensors.
            return false;
        }
    }

    /** The layer is the first number in the path, or the first after one of the names that {@code layers_pattern} has. */
    static boolean inChosenLayer(AdapterOptions options, String path) throws AdapterFault {
        JsonNode chosen = options.json("layers_to_transform");
        Matcher layer = LAYER.matcher(path);
        if (chosen.isMissingNode() || chosen.isNull() || chosen.isArray() && chosen.isEmpty()) {
            return true;
        }
        JsonNode pattern = options.json("layers_pattern");
        List<String> names = pattern.isTextual() ? List.of(pattern.textValue()) : options.strings("layers_pattern");
        while (layer.find()) {
            String before = path.substring(0, layer.start());
            if (names.isEmpty() || names.stream().anyMatch(name -> name.isEmpty() || ends(before, name))) {
                String number = layer.group(1);
                return chosen.isArray()
                        ? IntStream.range(0, chosen.size()).anyMatch(i -> chosen.get(i).asText().equals(number))
                        : chosen.asText().equals(number);
            }
        }
        return false;
    }
}
