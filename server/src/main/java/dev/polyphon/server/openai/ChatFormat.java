package dev.polyphon.server.openai;

import com.fasterxml.jackson.core.JsonGenerator;
import dev.polyphon.runtime.TokenLogprobs;
import java.io.IOException;
import java.util.List;

/** Answers of {@code /v1/chat/completions}. */
final class ChatFormat extends Format {
    private final boolean logprobs;

    ChatFormat(String model, boolean logprobs) {
        super("chatcmpl-", model, "chat.completion", "chat.completion.chunk");
        this.logprobs = logprobs;
    }

    @Override
    void piece(JsonGenerator json, int choice, boolean first, String text, TokenLogprobs token, boolean last) throws IOException {
        json.writeObjectFieldStart("delta");
        if (first) {
            json.writeStringField("role", "assistant");
        }
        if (first || !last || !text.isEmpty()) {
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
        json.writeStringField("content", choice.text());
        json.writeNullField("refusal");
        json.writeEndObject();
        if (logprobs) {
            Logprobs.chat(json, choice.logprobs());
        } else {
            json.writeNullField("logprobs");
        }
    }
}
