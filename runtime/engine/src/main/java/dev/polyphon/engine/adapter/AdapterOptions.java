package dev.polyphon.engine.adapter;

import com.fasterxml.jackson.databind.JsonNode;
import dev.polyphon.engine.model.ModelConfig;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;

/** An {@code adapter_config.json}: an option that is set and not understood is refused, since it may change what the tensors mean. */
final class AdapterOptions {
    /** What stands for {@code peft_type} in AdapterHub's folders. */
    static final String HUB = "ADAPTERHUB";

    private static final int LONGEST_PATTERN = 1000;

    /**
     * Options that no reader has to understand: they say where the adapter came from, how it was trained, or where modules were found, which the tensors
     * show by themselves; or {@link AdapterFolder} understands them for all.
     */
    private static final Set<String> NO_READERS = Set.of("base_model_name_or_path", "revision", "task_type", "inference_mode", "auto_mapping",
            "peft_version", "peft_type", "target_modules", "exclude_modules", "layers_to_transform", "layers_pattern", "module_dropout",
            "parent_library", "fan_in_fan_out", "runtime_config", "megatron_config", "megatron_core", "qalora_group_size", "init_weights",
            "layer_indexes", "modules_pattern", "ensure_weight_tying", "target_parameters", "modules_to_save", "bias");

    private final Path file;
    private final ModelConfig config;
    private final JsonNode json;

    AdapterOptions(Path file, JsonNode json) {
        this.file = file;
        this.config = new ModelConfig(file, json);
        this.json = json;
    }

    String kind() {
        return kind(json);
    }

    static String kind(JsonNode config) {
        return config.has("peft_type") || !config.has("config") ? config.path("peft_type").asText() : HUB;
    }

    /** The options in an object of this file. */
    AdapterOptions inside(JsonNode object) {
        return new AdapterOptions(file, object);
    }

    JsonNode root() {
        return json;
    }

    JsonNode json(String key) {
        return json.path(key);
    }

    int integer(String key) throws IOException {
        return config.integer(key);
    }

    int integer(String key, int absent) throws IOException {
        return config.integer(key, absent);
    }

    double number(String key) throws IOException {
        return finite(key, config.number(key));
    }

    double number(String key, double absent) throws IOException {
        return finite(key, config.number(key, absent));
    }

    /** Numbers become factors of single precision. */
    private static double finite(String key, double value) throws AdapterFault {
        if (!Float.isFinite((float) value)) {
            throw new AdapterFault("option " + key + " = " + value + " is too large");
        }
        return value;
    }

    boolean bool(String key) throws IOException {
        return config.bool(key, false);
    }

    String string(String key, String absent) throws IOException {
        return config.string(key, absent);
    }

    List<String> strings(String key) throws AdapterFault {
        List<String> values = new ArrayList<>();
        JsonNode list = json.path(key);
        if (isSet(list) && !list.isArray()) {
            throw new AdapterFault(key + " must be a list of strings, found " + list);
        }
        for (JsonNode value : list) {
            if (!value.isTextual()) {
                throw new AdapterFault(key + " must be a list of strings, found " + list);
            }
            values.add(value.textValue());
        }
        return values;
    }

    /**
     * Whether an option names a module, as PEFT matches them: a list's names are ends of paths, a text is a regular expression for whole paths. Throws a
     * {@link PatternSyntaxException} when it is none.
     */
    boolean names(String key, String path) throws AdapterFault {
        JsonNode value = json.path(key);
        return value.isTextual()
                ? pattern(key, value.textValue()).matches(path)
                : strings(key).stream().anyMatch(name -> path.equals(name) || path.endsWith("." + name));
    }

    /** Checks that nothing but these options is set to more than false, null, empty or {@code "none"}. */
    void understand(String... keys) throws AdapterFault {
        Set<String> known = Set.of(keys);
        for (Iterator<Map.Entry<String, JsonNode>> fields = json.fields(); fields.hasNext(); ) {
            Map.Entry<String, JsonNode> field = fields.next();
            if (!known.contains(field.getKey()) && !NO_READERS.contains(field.getKey()) && isSet(field.getValue())) {
                throw new AdapterFault("option " + field.getKey() + " = " + field.getValue() + " is not supported");
            }
        }
    }

    /** Checks an option whose other values would change the mathematics. */
    void only(String key, String... allowed) throws AdapterFault {
        JsonNode value = json.path(key);
        if (isSet(value) && !List.of(allowed).contains(value.asText())) {
            throw new AdapterFault("option " + key + " = " + value + " is not supported");
        }
    }

    static boolean isSet(JsonNode value) {
        return !(value.isMissingNode() || value.isNull() || value.isBoolean() && !value.booleanValue() || value.isContainerNode() && value.isEmpty()
                || value.isTextual() && (value.textValue().isEmpty() || value.textValue().equals("none")));
    }

    /**
     * A number for each module path: the first pattern of {@code key} that matches, or {@code absent}. Names are matched as PEFT does: the pattern, a
     * regular expression, must match the end of the path after a dot.
     */
    Patterns patterns(String key, double absent) throws AdapterFault {
        Map<PathPattern, Double> patterns = new LinkedHashMap<>();
        for (Iterator<Map.Entry<String, JsonNode>> fields = json.path(key).fields(); fields.hasNext(); ) {
            Map.Entry<String, JsonNode> field = fields.next();
            if (!field.getValue().isNumber()) {
                throw new AdapterFault(key + "." + field.getKey() + " must be a number, found " + field.getValue());
            }
            try {
                patterns.put(pattern(key, "(.*\\.)?(" + field.getKey() + ")"), finite(key + "." + field.getKey(), field.getValue().doubleValue()));
            } catch (PatternSyntaxException e) {
                throw new AdapterFault(key + " has the invalid pattern " + field.getKey() + ": " + e.getDescription());
            }
        }
        return new Patterns(patterns, absent);
    }

    /** An option's regular expression for module paths. Throws a {@link PatternSyntaxException} when it is none. */
    PathPattern pattern(String key, String expression) throws AdapterFault {
        if (expression.length() > LONGEST_PATTERN) {
            throw new AdapterFault(key + " has a pattern of " + expression.length() + " characters; at most " + LONGEST_PATTERN);
        }
        return new PathPattern(key, Pattern.compile(expression));
    }

    /** Numbers by module path. */
    record Patterns(Map<PathPattern, Double> patterns, double absent) {
        double of(String path) throws AdapterFault {
            for (Map.Entry<PathPattern, Double> entry : patterns.entrySet()) {
                if (entry.getKey().matches(path)) {
                    return entry.getValue();
                }
            }
            return absent;
        }
    }
}
