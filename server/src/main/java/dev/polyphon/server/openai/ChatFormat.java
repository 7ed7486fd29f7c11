package dev.polyphon.server.openai;

import com.fasterxml.jackson.core.JsonGenerator;
import dev.polyphon.runtime.FinishReason;
import dev.polyphon.runtime.TokenLogprobs;
import dev.polyphon.server.openai.tools.CallReader;
import dev.polyphon.server.openai.tools.Calls;
import java.io.IOException;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;

/** Answers of {@code /v1/chat/completions}. */
final class ChatFormat extends Format {
    private final boolean logprobs;
    private final PromptScores scores;
    private final Function<Calls, CallReader> readers;
    private final boolean named;
    /** By choice, where calls are looked for. */
    private final Map<Integer, ToolDelta> deltas = new HashMap<>();

    /**
     * @param readers makes what finds the calls of tools in a choice; null when none are looked for
     * @param named whether the request names the function to call
     */
    ChatFormat(String model, boolean logprobs, PromptScores scores, Function<Calls, CallReader> readers, boolean named) {
        super("chatcmpl-", model, "chat.completion", "chat.completion.chunk", scores);
        this.scores = scores;
        this.logprobs = logprobs;
        this.readers = readers;
        this.named = named;
    }

    private ToolDelta delta(int choice) {
        return deltas.computeIfAbsent(choice, _ -> new ToolDelta(readers));
    }

    @Override
    boolean takes(int choice, String text) {
        return readers == null ? super.takes(choice, text) : delta(choice).push(text);
    }

    @Override
    void piece(JsonGenerator json, int choice, boolean first, String text, TokenLogprobs token, boolean last) throws IOException {
        json.writeObjectFieldStart("delta");
        if (first) {
            json.writeStringField("role", "assistant");
        }
        if (readers != null) {
            ToolDelta delta = delta(choice);
            if (last) {
                delta.end();
            }
            delta.write(json, first);
        } else if (first || !last || !text.isEmpty()) {
            json.writeStringField("content", text);
        }
        json.writeEndObject();
        if (logprobs && token != null) {
            Logprobs.chat(json, List.of(token));
        } else {
            json.writeNullField("logprobs");
        }
    }

    @Override
    void whole(JsonGenerator json, int index, Choice choice) throws IOException {
        json.writeObjectFieldStart("message");
        json.writeStringField("role", "assistant");
        if (readers == null) {
            json.writeStringField("content", choice.text());
        } else {
            ToolDelta delta = delta(index);
            delta.push(choice.text());
            delta.end();
            delta.writeWhole(json);
        }
        json.writeNullField("refusal");
        json.writeEndObject();
        if (logprobs) {
            Logprobs.chat(json, choice.logprobs());
        } else {
            json.writeNullField("logprobs");
        }
    }

    @Override
    void end(JsonGenerator json) throws IOException {
        scores.list(json, 0);
    }

    /** As OpenAI has it, a call that the request names is no reason to end. */
    @Override
    String word(int choice, FinishReason reason) {
        boolean called = readers != null && delta(choice).called();
        return called && !named && reason == FinishReason.STOP ? "tool_calls" : super.word(choice, reason);
    }
}
