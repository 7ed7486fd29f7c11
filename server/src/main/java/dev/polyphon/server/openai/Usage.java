package dev.polyphon.server.openai;

import com.fasterxml.jackson.core.JsonGenerator;
import java.io.IOException;

/** Token counts of a request: each prompt counts once, however many choices continue it. */
public record Usage(int prompt, int completion) {

    void write(JsonGenerator json) throws IOException {
        json.writeObjectFieldStart("usage");
        json.writeNumberField("prompt_tokens", prompt);
        json.writeNumberField("completion_tokens", completion);
        json.writeNumberField("total_tokens", prompt + completion);
        json.writeEndObject();
    }
}
