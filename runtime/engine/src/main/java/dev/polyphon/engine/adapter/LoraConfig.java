package dev.polyphon.engine.adapter;

import dev.polyphon.engine.model.ModelConfig;
import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;

/**
 * The part of PEFT's {@code LoraConfig} that decides what the tensors mean.
 *
 * @param rank for modules that no pattern names
 * @param alpha likewise
 * @param rankPatterns ranks by module name pattern, in the file's order
 * @param alphaPatterns likewise
 * @param rankStabilised scale by alpha/√rank instead of alpha/rank (rsLoRA, Kalajdzievski 2023)
 */
record LoraConfig(int rank, double alpha, Map<Pattern, Double> rankPatterns, Map<Pattern, Double> alphaPatterns, boolean rankStabilised) {

    /** Options that only steer training or where modules were found, which the tensors show by themselves. */
    private static final Set<String> NO_EFFECT = Set.of("base_model_name_or_path", "revision", "task_type", "inference_mode", "auto_mapping",
            "peft_version", "peft_type", "target_modules", "exclude_modules", "layers_to_transform", "layers_pattern", "lora_dropout",
            "loftq_config", "eva_config", "corda_config", "lora_ga_config", "megatron_config", "megatron_core", "runtime_config", "fan_in_fan_out",
            "enable_lora", "merge_weights", "qalora_group_size", "parent_library", "ensure_weight_tying");

    /** Initialisations after which the saved tensors are still a delta to the base as published. */
    private static final Set<String> PLAIN_INITIALISATIONS = Set.of("true", "false", "gaussian", "orthogonal", "eva", "loftq");

    static LoraConfig read(ModelConfig config, JsonNode json) throws IOException {
        for (Iterator<Map.Entry<String, JsonNode>> fields = json.fields(); fields.hasNext(); ) {
            Map.Entry<String, JsonNode> field = fields.next();
            String key = field.getKey();
            if (!NO_EFFECT.contains(key) && isSet(field.getValue()) && !understood(key, field.getValue())) {
                throw new AdapterFault("option " + key + " = " + field.getValue() + " is not supported");
            }
        }
        int rank = config.integer("r");
        if (rank < 1) {
            throw new AdapterFault("r must be at least 1, found " + rank);
        }
        return new LoraConfig(rank, config.number("lora_alpha", rank), patterns(json.path("rank_pattern"), "rank_pattern"),
                patterns(json.path("alpha_pattern"), "alpha_pattern"), config.bool("use_rslora", false));
    }

    private static boolean understood(String key, JsonNode value) {
        return switch (key) {
            case "r", "lora_alpha", "rank_pattern", "alpha_pattern", "use_rslora" -> true;
            case "bias" -> value.asText().equals("none");
            case "init_lora_weights" -> PLAIN_INITIALISATIONS.contains(value.asText());
            default -> false;
        };
    }

    private static boolean isSet(JsonNode value) {
        return !(value.isNull() || value.isBoolean() && !value.booleanValue() || value.isContainerNode() && value.isEmpty()
                || value.isTextual() && value.textValue().isEmpty());
    }

    /** Names are matched as PEFT does: the pattern, a regular expression, must match the end of the module's path after a dot. */
    private static Map<Pattern, Double> patterns(JsonNode json, String key) throws AdapterFault {
        Map<Pattern, Double> patterns = new LinkedHashMap<>();
        for (Iterator<Map.Entry<String, JsonNode>> fields = json.fields(); fields.hasNext(); ) {
            Map.Entry<String, JsonNode> field = fields.next();
            if (!field.getValue().isNumber()) {
                throw new AdapterFault(key + "." + field.getKey() + " must be a number, found " + field.getValue());
            }
            if (field.getKey().length() > 1000) {
                throw new AdapterFault(key + " has a pattern of " + field.getKey().length() + " characters; at most 1000");
            }
            try {
                patterns.put(Pattern.compile("(.*\\.)?(" + field.getKey() + ")"), field.getValue().doubleValue());
            } catch (PatternSyntaxException e) {
                throw new AdapterFault(key + " has the invalid pattern " + field.getKey() + ": " + e.getDescription());
            }
        }
        return patterns;
    }

    int rank(String path) {
        return (int) match(rankPatterns, path, rank);
    }

    float scale(String path) {
        double r = rank(path);
        return (float) (match(alphaPatterns, path, alpha) / (rankStabilised ? Math.sqrt(r) : r));
    }

    private static double match(Map<Pattern, Double> patterns, String path, double absent) {
        for (Map.Entry<Pattern, Double> entry : patterns.entrySet()) {
            if (entry.getKey().matcher(path).matches()) {
                return entry.getValue();
            }
        }
        return absent;
    }
}
