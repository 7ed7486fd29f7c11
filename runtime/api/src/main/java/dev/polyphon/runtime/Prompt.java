package dev.polyphon.runtime;

import java.util.List;
import java.util.Map;

/** What a generation continues. */
public sealed interface Prompt {

    /**
     * Plain text.
     *
     * @param addSpecialTokens whether the tokenizer adds what it adds around a text (a beginning-of-sequence token, say)
     */
    record Text(String text, boolean addSpecialTokens) implements Prompt {}

    /** Token ids, taken as they are. */
    record Tokens(int[] ids) implements Prompt {}

    /**
     * A conversation, rendered by the model's chat template.
     *
     * @param messages in order; values are strings, lists and maps as they come from JSON
     * @param tools tool definitions as they come from JSON; empty for none
     * @param addGenerationPrompt whether the template opens the assistant's turn
     * @param variables further template variables
     */
    record Chat(
            List<Map<String, Object>> messages, List<Object> tools, boolean addGenerationPrompt, Map<String, Object> variables)
            implements Prompt {
        public Chat {
            messages = List.copyOf(messages);
            tools = List.copyOf(tools);
            variables = Map.copyOf(variables);
        }
    }
}
