package dev.polyphon.server.openai.tools;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/** Tells of tools, of calls and of their results in plain messages, for models whose chat template knows nothing of them; in the form of Hermes. */
public final class ToolPrompt {
    private static final ObjectMapper JSON = new ObjectMapper();

    private ToolPrompt() {}

    /** The conversation with a description of the tools, if there are any, in its system message, and with calls and results as texts. */
    public static List<Map<String, Object>> tell(List<Map<String, Object>> messages, List<Tool> tools) {
        var told = new ArrayList<Map<String, Object>>();
        for (Map<String, Object> message : messages) {
            told.add(plain(message));
        }
        if (tools.isEmpty()) {
            return told;
        }
        boolean system = !told.isEmpty() && "system".equals(told.getFirst().get("role"));
        String text = describe(tools);
        if (system) {
            told.set(0, with(told.getFirst(), told.getFirst().get("role"), told.getFirst().get("content") + "\n\n" + text));
        } else {
            told.addFirst(new LinkedHashMap<>(Map.of("role", "system", "content", text)));
        }
        return told;
    }

    private static String describe(List<Tool> tools) {
        return "You may call functions. These are described in JSON between <tools> and </tools>:\n<tools>\n"
                + tools.stream().map(tool -> tool.definition().toString()).collect(Collectors.joining("\n"))
                + "\n</tools>\nTo call a function, answer with its name and arguments in JSON, between these tags:\n"
                + "<tool_call>\n{\"name\": FUNCTION, \"arguments\": {ARGUMENTS}}\n</tool_call>";
    }

    private static Map<String, Object> plain(Map<String, Object> message) {
        if ("tool".equals(message.get("role"))) {
            return with(message, "user", "<tool_response>\n" + message.get("content") + "\n</tool_response>");
        }
        if (message.get("tool_calls") instanceof List<?> calls) {
            String content = message.get("content") == null ? "" : message.get("content") + "\n";
            return with(message, message.get("role"), content + calls.stream().map(ToolPrompt::call).collect(Collectors.joining("\n")));
        }
        return message;
    }

    private static String call(Object call) {
        Map<?, ?> function = (Map<?, ?>) ((Map<?, ?>) call).get("function");
        var said = new LinkedHashMap<String, Object>();
        said.put("name", function.get("name"));
        said.put("arguments", function.get("arguments"));
        return "<tool_call>\n" + JSON.valueToTree(said) + "\n</tool_call>";
    }

    private static Map<String, Object> with(Map<String, Object> message, Object role, String content) {
        var changed = new LinkedHashMap<>(message);
        changed.remove("tool_calls");
        changed.put("role", role);
        changed.put("content", content);
        return changed;
    }
}
