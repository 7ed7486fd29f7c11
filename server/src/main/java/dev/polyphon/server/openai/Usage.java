package dev.polyphon.server.openai;

import com.fasterxml.jackson.core.JsonGenerator;
import java.io.IOException;

/**
 * Token counts of a request: each prompt counts once, however many choices continue it.
 *
 * @param cached tokens of prompts that were not computed again
 */
public record Usage(int prompt, int completion, int cached) {

    void write(JsonGenerator json) throws IOException {
        json.writeObjectFieldStart("usage");
        json.writeNumberField("prompt_tokens", prompt);
        json.writeNumberField("completion_tokens", completion);
        json.writeNumberField("total_tokens", prompt + completion);
        json.writeObjectFieldStart("prompt_tokens_details");
        json.writeNumberField("cached_tokens", cached);
        json.writeEndObject();
        json.writeEndObject();
    }
}
