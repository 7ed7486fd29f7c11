package dev.polyphon.server.openai;

import com.fasterxml.jackson.databind.JsonNode;
import dev.polyphon.runtime.Grammar;
import dev.polyphon.runtime.ModelInfo;
import dev.polyphon.runtime.Prompt;
import dev.polyphon.runtime.ToolFormat;
import dev.polyphon.server.openai.tools.ToolPrompt;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Reads {@code POST /v1/chat/completions}. */
final class ChatRequest {
    private ChatRequest() {}

    static Asked read(Fields fields, Target target, RequestLimits limits) {
        Unsupported.refuseInChat(fields);
        int maxTokens = maxTokens(fields);
        int choices = fields.integer("n", 1, 1, limits.choices());
        Generate.checkSequences(1, choices, limits);
        boolean stream = Generate.stream(fields);
        int logprobs = logprobs(fields, limits);
        ToolFields tools = ToolFields.read(fields);
        var prompt = prompt(fields, target.base(), tools, limits);
        var scores = PromptScores.read(fields, -1, stream, limits);
        var sampling = SamplingFields.read(fields, limits, target.base(), maxTokens).logprobs(logprobs).promptLogprobs(scores.alternatives());
        Grammar call = tools.grammar(target.base());
        if (call != null) {
            if (GrammarFields.read(fields) != null) {
                throw ApiException.invalid("tool_choice", "invalid_value", "The output can be held to one form only, but 'tool_choice' and another field both ask for one.");
            }
            sampling.grammar(call);
        }
        var format = new ChatFormat(target.requested(), logprobs >= 0, scores, tools.readers(target.base()), tools.use() == ToolFields.Use.NAMED);
        var generate = new Generate(format.id(), "chat", target, List.of(prompt), sampling.build(), choices, choices, stream, Terms.read(fields));
        return Asked.tokens(generate, Generate.includeUsage(fields, stream), format);
    }

    /** Tools are for the model's chat template to show; where it cannot, a message tells of them. */
    static Prompt.Chat prompt(Fields fields, ModelInfo model, ToolFields tools, RequestLimits limits) {
        var messages = messages(fields, limits);
        boolean told = model.tools() == ToolFormat.NONE;
        return new Prompt.Chat(
                told ? ToolPrompt.tell(messages, tools.tools()) : messages,
                told ? List.of() : tools.tools().stream().map(tool -> ChatMessage.plain(tool.definition())).toList(),
                fields.flag("add_generation_prompt", true),
                templateVariables(fields));
    }

    /** {@code max_completion_tokens}, or {@code max_tokens}, which it replaced; as much as there is room for when neither is given. */
    private static int maxTokens(Fields fields) {
        int old = fields.integer("max_tokens", -1, 1, Integer.MAX_VALUE);
        int current = fields.integer("max_completion_tokens", -1, 1, Integer.MAX_VALUE);
        if (old >= 0 && current >= 0 && old != current) {
            throw ApiException.invalid("max_tokens", "invalid_value", "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported: got "
                    + old + " and " + current + ".");
        }
        return current >= 0 ? current : old;
    }

    private static int logprobs(Fields fields, RequestLimits limits) {
        boolean wanted = fields.flag("logprobs", false);
        int top = fields.integer("top_logprobs", 0, 0, limits.logprobs());
        if (top > 0 && !wanted) {
            throw ApiException.invalid("top_logprobs", "invalid_value", "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.");
        }
        return wanted ? top : -1;
    }

    private static List<Map<String, Object>> messages(Fields fields, RequestLimits limits) {
        JsonNode value = fields.get("messages").orElseThrow(() -> Fields.missing("messages"));
        var messages = Fields.list("messages", value, limits.messages(), ChatMessage::read);
        if (messages.isEmpty()) {
            throw ApiException.invalid("messages", "empty_array", "Invalid 'messages': empty array. Expected an array with minimum length 1, "
                    + "but got an empty array instead.");
        }
        return messages;
    }

    private static Map<String, Object> templateVariables(Fields fields) {
        var variables = new HashMap<String, Object>();
        fields.get("chat_template_kwargs").ifPresent(value -> {
            Fields.object("chat_template_kwargs", value);
            value.properties().forEach(entry -> {
                if (!entry.getValue().isNull()) {
                    variables.put(entry.getKey(), ChatMessage.plain(entry.getValue()));
                }
            });
        });
        fields.list("documents", Integer.MAX_VALUE, (_, document) -> ChatMessage.plain(document));
        fields.get("documents").ifPresent(value -> variables.put("documents", ChatMessage.plain(value)));
        return variables;
    }
}
