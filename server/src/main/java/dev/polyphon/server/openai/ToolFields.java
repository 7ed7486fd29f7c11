package dev.polyphon.server.openai;

import com.fasterxml.jackson.databind.JsonNode;
import dev.polyphon.runtime.Grammar;
import dev.polyphon.runtime.ModelInfo;
import dev.polyphon.runtime.ToolFormat;
import dev.polyphon.server.openai.tools.CallGrammar;
import dev.polyphon.server.openai.tools.CallReader;
import dev.polyphon.server.openai.tools.Calls;
import dev.polyphon.server.openai.tools.Tool;
import java.util.List;
import java.util.Set;
import java.util.function.Function;
import java.util.stream.Collectors;

/**
 * The tools that a model may call in a request.
 *
 * @param tools none when it may not call any
 * @param use whether it may, must, or must call the one there is
 * @param parallel whether it may call several at once
 */
record ToolFields(List<Tool> tools, Use use, boolean parallel) {
    private static final String CHOICE = "tool_choice";

    enum Use {
        AUTO,
        REQUIRED,
        NAMED
    }

    /** Reads {@code tools}, {@code tool_choice} and {@code parallel_tool_calls}. */
    static ToolFields read(Fields fields) {
        List<Tool> tools = fields.list("tools", Integer.MAX_VALUE, ToolFields::tool);
        boolean parallel = fields.flag("parallel_tool_calls", true);
        JsonNode choice = fields.get(CHOICE).orElse(null);
        if (choice == null) {
            return new ToolFields(tools, Use.AUTO, parallel);
        }
        if (choice.isObject()) {
            return chosen(Fields.object(CHOICE, choice), tools, parallel);
        }
        return mode(CHOICE, Fields.text(CHOICE, choice), tools, parallel);
    }

    private static ToolFields mode(String path, String mode, List<Tool> tools, boolean parallel) {
        return switch (mode) {
            case "none" -> new ToolFields(List.of(), Use.AUTO, parallel);
            case "auto" -> new ToolFields(tools, Use.AUTO, parallel);
            case "required" -> {
                if (tools.isEmpty()) {
                    throw ApiException.invalid(path, "invalid_value", "Invalid value for '" + path + "': a call can be required only when 'tools' are specified.");
                }
                yield new ToolFields(tools, Use.REQUIRED, parallel);
            }
            default -> throw ApiException.invalid(path, "invalid_value", "Invalid value: '" + mode + "'. Supported values of '" + path
                    + "' are: 'none', 'auto' and 'required', or an object that names a function.");
        };
    }

    private static ToolFields chosen(Fields choice, List<Tool> tools, boolean parallel) {
        String type = choice.requiredText("type");
        if (type.equals("function")) {
            Fields function = choice.object("function").orElseThrow(() -> Fields.missing(CHOICE + ".function"));
            return new ToolFields(List.of(find(function, tools)), Use.NAMED, false);
        }
        if (type.equals("allowed_tools")) {
            Fields allowed = choice.object("allowed_tools").orElseThrow(() -> Fields.missing(CHOICE + ".allowed_tools"));
            List<Tool> some = allowed.list("tools", Integer.MAX_VALUE, (path, node) ->
                    find(Fields.object(path, node).object("function").orElseThrow(() -> Fields.missing(path + ".function")), tools));
            return mode(allowed.path("mode"), allowed.requiredText("mode"), some, parallel);
        }
        throw ApiException.invalid(CHOICE + ".type", "unsupported_value", "Unsupported value: '" + CHOICE + ".type' is '" + type
                + "'. Supported values are: 'function' and 'allowed_tools'.");
    }

    private static Tool find(Fields function, List<Tool> tools) {
        String name = function.requiredText("name");
        return tools.stream().filter(tool -> tool.name().equals(name)).findFirst().orElseThrow(() -> ApiException.invalid(function.path("name"), "invalid_value",
                "Invalid value for '" + function.path("name") + "': there is no function '" + name + "' among the 'tools'."));
    }

    private static Tool tool(String path, JsonNode node) {
        Fields tool = Fields.object(path, node);
        String type = tool.text("type");
        if (type != null && !type.equals("function")) {
            throw ApiException.invalid(path + ".type", "unsupported_value", "Unsupported value: '" + path + ".type' is '" + type + "'. There are only functions.");
        }
        Fields function = tool.object("function").orElseThrow(() -> Fields.missing(path + ".function"));
        function.object("parameters");
        return new Tool(function.requiredText("name"), node, function.get("parameters").orElse(null));
    }

    /** What an output must look like, so that it is a call; null when it need not be one. */
    Grammar grammar(ModelInfo model) {
        return use == Use.AUTO ? null : CallGrammar.of(tools, model.tools(), parallel);
    }

    /** Makes what finds the calls in an output; null when there can be none. */
    Function<Calls, CallReader> readers(ModelInfo model) {
        if (tools.isEmpty() || model.tools() == ToolFormat.OTHER && use == Use.AUTO) {
            return null;
        }
        Set<String> names = tools.stream().map(Tool::name).collect(Collectors.toSet());
        ToolFormat format = model.tools() == ToolFormat.NONE || model.tools() == ToolFormat.OTHER ? ToolFormat.HERMES : model.tools();
        return calls -> new CallReader(format, names, calls);
    }
}
