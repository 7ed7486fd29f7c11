package dev.polyphon.server.openai;

import com.fasterxml.jackson.core.JsonGenerator;
import dev.polyphon.runtime.TokenLogprobs;
import java.io.IOException;
import java.util.HashSet;
import java.util.List;

/** Writes log probabilities in the shapes of the two APIs. */
public final class Logprobs {
    /** JSON has no infinity; vLLM writes this for a token that cannot occur. */
    private static final float LOWEST = -9999f;

    private Logprobs() {}

    /**
     * The field {@code logprobs} of a completion's choice: four lists with one entry a token. Alternatives are keyed by their text, as OpenAI
     * has it; of several with the same text the likeliest stands.
     *
     * @param offset of the first token's text in the choice's text, in characters
     * @return the offset behind the last
     */
    static int completion(JsonGenerator json, List<TokenLogprobs> tokens, int offset) throws IOException {
        json.writeObjectFieldStart("logprobs");
        json.writeArrayFieldStart("tokens");
        for (var token : tokens) {
            json.writeString(token.chosen().text());
        }
        json.writeEndArray();
        json.writeArrayFieldStart("token_logprobs");
        for (var token : tokens) {
            json.writeNumber(finite(token.chosen().logprob()));
        }
        json.writeEndArray();
        json.writeArrayFieldStart("top_logprobs");
        for (var token : tokens) {
            alternatives(json, token);
        }
        json.writeEndArray();
        json.writeArrayFieldStart("text_offset");
        int at = offset;
        for (var token : tokens) {
            json.writeNumber(at);
            String text = token.chosen().text();
            at += text.codePointCount(0, text.length());
        }
        json.writeEndArray();
        json.writeEndObject();
        return at;
    }

    private static void alternatives(JsonGenerator json, TokenLogprobs token) throws IOException {
        var seen = new HashSet<String>();
        json.writeStartObject();
        for (var entry : token.top()) {
            if (seen.add(entry.text())) {
                json.writeNumberField(entry.text(), finite(entry.logprob()));
            }
        }
        if (seen.add(token.chosen().text())) {
            json.writeNumberField(token.chosen().text(), finite(token.chosen().logprob()));
        }
        json.writeEndObject();
    }

    /** The field {@code logprobs} of a chat choice. */
    static void chat(JsonGenerator json, List<TokenLogprobs> tokens) throws IOException {
        json.writeObjectFieldStart("logprobs");
        json.writeArrayFieldStart("content");
        for (var token : tokens) {
            json.writeStartObject();
            entry(json, token.chosen());
            json.writeArrayFieldStart("top_logprobs");
            for (var alternative : token.top()) {
                json.writeStartObject();
                entry(json, alternative);
                json.writeEndObject();
            }
            json.writeEndArray();
            json.writeEndObject();
        }
        json.writeEndArray();
        json.writeNullField("refusal");
        json.writeEndObject();
    }

    private static void entry(JsonGenerator json, TokenLogprobs.Entry entry) throws IOException {
        json.writeStringField("token", entry.text());
        json.writeNumberField("logprob", finite(entry.logprob()));
        json.writeArrayFieldStart("bytes");
        for (byte b : entry.bytes()) {
            json.writeNumber(b & 0xff);
        }
        json.writeEndArray();
    }

    /** As JSON can say it. */
    public static float finite(float logprob) {
        return logprob > LOWEST ? logprob : LOWEST;
    }
}
