package dev.polyphon.server.kserve;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polyphon.kserve.proto.InferParameter;
import dev.polyphon.kserve.proto.ModelInferRequest;
import dev.polyphon.runtime.Prompt;
import dev.polyphon.server.http.Outlet;
import dev.polyphon.server.openai.ApiException;
import dev.polyphon.server.openai.Fields;
import dev.polyphon.server.openai.Generate;
import dev.polyphon.server.openai.Json;
import dev.polyphon.server.openai.RequestLimits;
import dev.polyphon.server.openai.SamplingFields;
import dev.polyphon.server.openai.Target;
import dev.polyphon.server.openai.Targets;
import dev.polyphon.server.openai.Terms;
import dev.polyphon.server.openai.Unsupported;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ThreadLocalRandom;

/**
 * A request for inference, read.
 *
 * @param requestId the client's name for it, which answers repeat
 * @param outputs names of the tensors to answer with
 * @param prefix what stands before each continuation: the prompt, unless it is left out
 */
record Inference(Generate generate, String requestId, Set<String> outputs, String prefix) {
    private static final int DEFAULT_MAX_TOKENS = 16;

    /** Of vLLM's sampling parameters those that clients of Triton may send as texts. */
    private static final Set<String> NUMBERS = Set.of("temperature", "top_p", "min_p", "presence_penalty", "frequency_penalty", "repetition_penalty",
            "n", "best_of", "top_k", "seed", "max_tokens", "min_tokens", "logprobs");
    private static final Set<String> FLAGS = Set.of("ignore_eos", "skip_special_tokens", "include_stop_str_in_output", "use_beam_search",
            Signature.STREAM, Signature.EXCLUDE_INPUT);

    /** Reads a request, or throws an {@link ApiException}. */
    static Inference read(ModelInferRequest request, Targets targets, RequestLimits limits, Outlet outlet) {
        requireVersion(request.getModelName(), request.getModelVersion());
        var inputs = new Inputs(request);
        Fields fields = new Fields(sampling(request, inputs));
        Target target = targets.find(request.getModelName(), fields.text("lora_name"), "lora_name", outlet).withTask(fields.text("task"));
        Unsupported.refuseInInference(fields);
        String text = inputs.text(Signature.TEXT).orElseThrow(() -> Inputs.wrong(Signature.TEXT,
                "The input '" + Signature.TEXT + "' is missing."));
        boolean stream = inputs.flag(Signature.STREAM).orElse(fields.flag(Signature.STREAM, false));
        boolean withoutInput = inputs.flag(Signature.EXCLUDE_INPUT).orElse(fields.flag(Signature.EXCLUDE_INPUT, stream));
        if (stream && !withoutInput) {
            throw Inputs.wrong(Signature.EXCLUDE_INPUT, "When streaming, `" + Signature.EXCLUDE_INPUT + "` = False is not allowed.");
        }
        Set<String> outputs = outputs(request, inputs);
        int maxTokens = fields.integer("max_tokens", DEFAULT_MAX_TOKENS, 1, Integer.MAX_VALUE);
        int choices = fields.integer("n", 1, 1, limits.choices());
        int candidates = fields.integer("best_of", choices, 1, limits.choices());
        if (candidates < choices || stream && candidates > choices) {
            throw Inputs.wrong("best_of", "'best_of' must not be below 'n' and, when streaming, equal it, but got " + candidates + " and " + choices + ".");
        }
        Generate.checkSequences(1, candidates, limits);
        int logprobs = fields.integer("logprobs", -1, 0, limits.logprobs());
        boolean needed = candidates > choices || outputs.contains(Signature.CUMULATIVE_LOGPROB) || outputs.contains(Signature.LOGPROBS);
        var settings = SamplingFields.read(fields, limits, target.base(), maxTokens).logprobs(needed ? Math.max(0, logprobs) : -1).build();
        var generate = new Generate("infer-" + HexFormat.of().toHexDigits(ThreadLocalRandom.current().nextLong()), "text_completion", target,
                List.of(new Prompt.Text(text, true)), settings, candidates, choices, stream, Terms.read(fields));
        return new Inference(generate, request.getId(), outputs, withoutInput ? "" : text);
    }

    static void requireVersion(String model, String version) {
        if (!version.isEmpty() && !version.equals(Models.VERSION)) {
            throw Targets.noSuch("model_version", model + ", version " + version, "model", "model_not_found");
        }
    }

    private static Set<String> outputs(ModelInferRequest request, Inputs inputs) {
        var known = Signature.names(Signature.OUTPUTS);
        var outputs = new LinkedHashSet<String>();
        for (var output : request.getOutputsList()) {
            if (!known.contains(output.getName())) {
                throw Inputs.wrong(output.getName(), "Unexpected inference output '" + output.getName() + "' for model '" + request.getModelName()
                        + "'. It gives " + String.join(", ", known) + ".");
            }
            for (String unsupported : List.of("classification", "shared_memory_region")) {
                if (output.containsParameters(unsupported)) {
                    throw Inputs.wrong(output.getName(), "The parameter '" + unsupported + "' of the output '" + output.getName() + "' is not supported.");
                }
            }
            outputs.add(output.getName());
        }
        if (outputs.isEmpty()) {
            outputs.add(Signature.TEXT_OUTPUT);
        }
        for (String name : known) {
            if (inputs.flag("return_" + name).orElse(false)) {
                outputs.add(name);
            }
        }
        return outputs;
    }

    /** What the tensor says or, when it is not there, the request's parameters. */
    private static ObjectNode sampling(ModelInferRequest request, Inputs inputs) {
        ObjectNode given = inputs.text(Signature.SAMPLING).map(Inference::parsed).orElseGet(() -> parameters(request));
        given.properties().forEach(entry -> entry.setValue(plain(entry.getKey(), entry.getValue())));
        JsonNode guided = given.remove("guided_decoding");
        if (guided != null) {
            given.set("structured_outputs", guided);
        }
        return given;
    }

    private static ObjectNode parsed(String text) {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        try {
            return Json.object(bytes, 0, bytes.length);
        } catch (ApiException e) {
            throw Inputs.wrong(Signature.SAMPLING, "The input '" + Signature.SAMPLING + "' must be a JSON object: " + e.getMessage());
        }
    }

    private static ObjectNode parameters(ModelInferRequest request) {
        var make = JsonNodeFactory.instance;
        ObjectNode given = make.objectNode();
        request.getParametersMap().forEach((name, value) -> given.set(name, switch (value.getParameterChoiceCase()) {
            case BOOL_PARAM -> make.booleanNode(value.getBoolParam());
            case INT64_PARAM -> make.numberNode(value.getInt64Param());
            case UINT64_PARAM -> make.numberNode(value.getUint64Param());
            case DOUBLE_PARAM -> make.numberNode(value.getDoubleParam());
            case STRING_PARAM -> structured(value);
            case PARAMETERCHOICE_NOT_SET -> make.nullNode();
        }));
        return given;
    }

    /** A parameter is a scalar; lists and objects come as JSON. */
    private static JsonNode structured(InferParameter value) {
        String text = value.getStringParam();
        if (text.startsWith("[") || text.startsWith("{")) {
            try {
                return Json.MAPPER.readTree(text);
            } catch (com.fasterxml.jackson.core.JsonProcessingException e) {
                return JsonNodeFactory.instance.textNode(text);
            }
        }
        return JsonNodeFactory.instance.textNode(text);
    }

    private static JsonNode plain(String name, JsonNode value) {
        if (!value.isTextual()) {
            return value;
        }
        String text = value.textValue().strip();
        if (FLAGS.contains(name)) {
            return switch (text.toLowerCase(java.util.Locale.ROOT)) {
                case "true", "1" -> JsonNodeFactory.instance.booleanNode(true);
                case "false", "0" -> JsonNodeFactory.instance.booleanNode(false);
                default -> value;
            };
        }
        if (NUMBERS.contains(name)) {
            try {
                return text.matches("-?\\d{1,18}") ? JsonNodeFactory.instance.numberNode(Long.parseLong(text))
                        : JsonNodeFactory.instance.numberNode(Double.parseDouble(text));
            } catch (NumberFormatException e) {
                return value;
            }
        }
        return value;
    }

    InferenceReply reply(Sender sender) {
        return new InferenceReply(this, sender);
    }
}
