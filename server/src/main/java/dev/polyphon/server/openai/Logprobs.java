package dev.polyphon.server.openai;

import com.fasterxml.jackson.core.JsonGenerator;
import dev.polyphon.runtime.TokenLogprobs;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.stream.Stream;

/** Writes log probabilities in the shapes of the two APIs. */
public final class Logprobs {
    /** JSON has no infinity; vLLM writes this for a token that cannot occur. */
    private static final float LOWEST = -9999f;

    private Logprobs() {}

    /**
     * The field {@code logprobs} of a completion's choice: four lists with one entry a token. Alternatives are keyed by their text, as OpenAI
     * has it; of several with the same text the likeliest stands. A token that nothing comes before has no log probability, and no alternatives.
     *
     * @param prompt tokens that stand before
     * @param text theirs, in which their offsets are found
     * @param offset of the first other token's text in the choice's text, in characters
     * @return the offset behind the last
     */
    static int completion(JsonGenerator json, List<TokenLogprobs> prompt, String text, List<TokenLogprobs> generated, int offset) throws IOException {
        List<TokenLogprobs> tokens = prompt.isEmpty() ? generated : Stream.concat(prompt.stream(), generated.stream()).toList();
        json.writeObjectFieldStart("logprobs");
        json.writeArrayFieldStart("tokens");
        for (var token : tokens) {
            json.writeString(token.chosen().text());
        }
        json.writeEndArray();
        json.writeArrayFieldStart("token_logprobs");
        for (var token : tokens) {
            number(json, token.chosen().logprob());
        }
        json.writeEndArray();
        json.writeArrayFieldStart("top_logprobs");
        for (var token : tokens) {
            if (Float.isNaN(token.chosen().logprob())) {
                json.writeNull();
            } else {
                alternatives(json, token);
            }
        }
        json.writeEndArray();
        json.writeArrayFieldStart("text_offset");
        for (int at : offsets(prompt, text)) {
            json.writeNumber(at);
        }
        int at = offset;
        for (var token : generated) {
            json.writeNumber(at);
            at += characters(token.chosen().text());
        }
        json.writeEndArray();
        json.writeEndObject();
        return at;
    }

    private static void number(JsonGenerator json, float logprob) throws IOException {
        if (Float.isNaN(logprob)) {
            json.writeNull();
        } else {
            json.writeNumber(finite(logprob));
        }
    }

    static int characters(String text) {
        return text.codePointCount(0, text.length());
    }

    /** Where tokens stand in their text, in characters: what a tokenizer puts before a text, or leaves out at its beginning, takes no room. */
    private static int[] offsets(List<TokenLogprobs> tokens, String text) {
        byte[] all = text.getBytes(StandardCharsets.UTF_8);
        int[] offsets = new int[tokens.size()];
        int at = 0;
        int characters = 0;
        for (int i = 0; i < offsets.length; i++) {
            offsets[i] = characters;
            for (int end = at + room(tokens.get(i).chosen().bytes(), all, at); at < end; at++) {
                characters += (all[at] & 0xC0) == 0x80 ? 0 : 1;
            }
        }
        return offsets;
    }

    private static int room(byte[] token, byte[] all, int at) {
        for (int from = 0; from <= 1 && from <= token.length; from++) {
            int end = at + token.length - from;
            if ((from == 0 || token[0] == ' ') && end <= all.length && Arrays.equals(token, from, token.length, all, at, end)) {
                return end - at;
            }
        }
        return at == 0 ? 0 : Math.min(token.length, all.length - at);
    }

    /** vLLM's field {@code prompt_logprobs}: for each token of a prompt what could have stood there by id, itself among it; null for the first. */
    static void prompt(JsonGenerator json, List<TokenLogprobs> tokens) throws IOException {
        json.writeArrayFieldStart("prompt_logprobs");
        for (var token : tokens) {
            if (Float.isNaN(token.chosen().logprob())) {
                json.writeNull();
                continue;
            }
            json.writeStartObject();
            boolean seen = false;
            for (int i = 0; i < token.top().size(); i++) {
                ranked(json, token.top().get(i), i + 1);
                seen |= token.top().get(i).token() == token.chosen().token();
            }
            if (!seen) {
                ranked(json, token.chosen(), 0);
            }
            json.writeEndObject();
        }
        json.writeEndArray();
    }

    /** @param rank from 1 on; 0 when it is not known */
    private static void ranked(JsonGenerator json, TokenLogprobs.Entry entry, int rank) throws IOException {
        json.writeObjectFieldStart(Integer.toString(entry.token()));
        json.writeNumberField("logprob", finite(entry.logprob()));
        if (rank > 0) {
            json.writeNumberField("rank", rank);
        } else {
            json.writeNullField("rank");
        }
        json.writeStringField("decoded_token", entry.text());
        json.writeEndObject();
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
