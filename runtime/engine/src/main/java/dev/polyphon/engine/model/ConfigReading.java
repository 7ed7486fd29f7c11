package dev.polyphon.engine.model;

import com.fasterxml.jackson.databind.JsonNode;
import dev.polyphon.engine.backend.Activation;
import dev.polyphon.engine.weights.MalformedFileException;

/** Readings of configuration keys that several families share. */
final class ConfigReading {
    private ConfigReading() {}

    static Activation activation(ModelConfig config, String key, String absent) throws MalformedFileException {
        String name = config.string(key, absent);
        return switch (name) {
            case "silu", "swish" -> Activation.SILU;
            case "gelu" -> Activation.GELU;
            case "gelu_new", "gelu_pytorch_tanh", "gelu_fast" -> Activation.GELU_TANH;
            case "relu" -> Activation.RELU;
            case "quick_gelu" -> Activation.QUICK_GELU;
            default -> throw config.error(key + " \"" + name + "\" is not supported");
        };
    }

    /**
     * The rotary embedding of a configuration: {@code rope_parameters}, or {@code rope_theta} and {@code rope_scaling} in files of older versions.
     *
     * @param dimensions rotated columns of a head
     * @param context positions the model is made for, as the configuration says
     */
    static RotarySpec rotary(ModelConfig config, int dimensions, int context) throws MalformedFileException {
        ModelConfig parameters = config.object(config.has("rope_parameters") ? "rope_parameters" : "rope_scaling");
        double theta = parameters.number("rope_theta", config.number("rope_theta", 10000));
        return rotary(parameters, theta, dimensions, context, config);
    }

    static RotarySpec rotary(ModelConfig parameters, double theta, int dimensions, int context, ModelConfig config)
            throws MalformedFileException {
        float[] plain = RotarySpec.frequencies(theta, dimensions);
        String type = parameters.string("rope_type", parameters.string("type", "default"));
        if (parameters.has("short_factor")) {
            // Phi-3's first configurations call it "su" or "yarn".
            return longRope(parameters, plain, context, config);
        }
        return switch (type) {
            // Dynamic scaling changes nothing within the context that the model was made for, which is what is offered here.
            case "default", "dynamic" -> new RotarySpec(plain, 1, false);
            case "linear" -> new RotarySpec(RotarySpec.linear(plain, parameters.number("factor")), 1, false);
            case "llama3" -> new RotarySpec(RotarySpec.llama3(plain, parameters.number("factor"), parameters.number("low_freq_factor"),
                    parameters.number("high_freq_factor"), parameters.number("original_max_position_embeddings")), 1, false);
            case "yarn" -> {
                double original = parameters.number("original_max_position_embeddings",
                        config.number("original_max_position_embeddings", context));
                double factor = parameters.number("factor");
                float magnitude = (float) parameters.number("attention_factor", yarnMagnitude(parameters, factor));
                yield new RotarySpec(RotarySpec.yarn(theta, dimensions, factor, parameters.number("beta_fast", 32),
                        parameters.number("beta_slow", 1), original, parameters.bool("truncate", true)), magnitude, false);
            }
            default -> throw parameters.error("rope_type \"" + type + "\" is not supported");
        };
    }

    private static RotarySpec longRope(ModelConfig parameters, float[] plain, int context, ModelConfig config) throws MalformedFileException {
        double original = parameters.number("original_max_position_embeddings", config.number("original_max_position_embeddings", 0));
        double factor = original > 0 ? context / original : parameters.number("factor", 1);
        double first = original > 0 ? original : context;
        float magnitude = (float) parameters.number("attention_factor", RotarySpec.longMagnitude(factor, first));
        return new RotarySpec(RotarySpec.divided(plain, divisors(parameters, "short_factor", plain.length)), magnitude, false,
                new RotarySpec.Beyond((int) first, RotarySpec.divided(plain, divisors(parameters, "long_factor", plain.length))));
    }

    private static float[] divisors(ModelConfig parameters, String key, int count) throws MalformedFileException {
        JsonNode values = parameters.json(key);
        if (!values.isArray() || values.size() != count) {
            throw parameters.error(key + " must be a list of " + count + " numbers, one for each rotated pair of columns; found "
                    + (values.isArray() ? values.size() : values.getNodeType()));
        }
        float[] divisors = new float[count];
        for (int i = 0; i < count; i++) {
            divisors[i] = values.get(i).floatValue();
            if (!values.get(i).isNumber() || !(divisors[i] > 0) || Float.isInfinite(divisors[i])) {
                throw parameters.error(key + " must be positive numbers, found " + values.get(i));
            }
        }
        return divisors;
    }

    private static double yarnMagnitude(ModelConfig parameters, double factor) throws MalformedFileException {
        if (parameters.has("mscale") && parameters.has("mscale_all_dim")) {
            return RotarySpec.yarnMagnitude(factor, parameters.number("mscale"))
                    / RotarySpec.yarnMagnitude(factor, parameters.number("mscale_all_dim"));
        }
        return RotarySpec.yarnMagnitude(factor, 1);
    }
}
