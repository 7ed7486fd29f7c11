package dev.polyphon.server.openai;

import com.fasterxml.jackson.core.JsonGenerator;
import dev.polyphon.runtime.FinishReason;
import dev.polyphon.runtime.TokenLogprobs;
import java.io.IOException;
import java.util.BitSet;
import java.util.HexFormat;
import java.util.List;
import java.util.concurrent.ThreadLocalRandom;

/** Writes one request's answer, whole or in chunks. Belongs to one request, and is used on its event loop only. */
abstract sealed class Format permits CompletionFormat, ChatFormat {
    private final String id;
    private final String model;
    private final long created = System.currentTimeMillis() / 1000;
    private final String wholeObject;
    private final String chunkObject;
    private final PromptScores scores;
    private final BitSet opened = new BitSet();

    Format(String idPrefix, String model, String wholeObject, String chunkObject, PromptScores scores) {
        this.id = id(idPrefix);
        this.model = model;
        this.wholeObject = wholeObject;
        this.chunkObject = chunkObject;
        this.scores = scores;
    }

    /** A new name. */
    static String id(String prefix) {
        var random = ThreadLocalRandom.current();
        var hex = HexFormat.of();
        return prefix + hex.toHexDigits(random.nextLong()) + hex.toHexDigits(random.nextLong());
    }

    /** Names the answer. */
    String id() {
        return id;
    }

    /**
     * Takes how likely a prompt's tokens are, before anything of it is written.
     *
     * @throws ApiException when that is more than the request may ask for
     */
    void scored(int prompt, List<TokenLogprobs> tokens) {
        scores.add(prompt, tokens);
    }

    /** Tokens of a whole answer that log probabilities are told of. */
    int detailed(List<Choice> choices) {
        return scores.size() + choices.stream().mapToInt(choice -> choice.logprobs().size()).sum();
    }

    /**
     * Writes a piece of a choice.
     *
     * @param logprobs of the token the piece comes from, or null
     * @param reason why the choice ends with it, or null when it goes on
     * @param usageNull whether to mention that token counts will follow
     */
    void chunk(JsonGenerator json, int choice, String text, TokenLogprobs logprobs, FinishReason reason, boolean usageNull) throws IOException {
        boolean first = !opened.get(choice);
        opened.set(choice);
        json.writeStartObject();
        head(json, chunkObject);
        json.writeArrayFieldStart("choices");
        json.writeStartObject();
        json.writeNumberField("index", choice);
        piece(json, choice, first, text, logprobs, reason != null);
        json.writeStringField("finish_reason", reason == null ? null : word(choice, reason));
        json.writeEndObject();
        json.writeEndArray();
        if (usageNull) {
            json.writeNullField("usage");
        }
        json.writeEndObject();
    }

    /** Writes the chunk that carries the token counts. */
    void usageChunk(JsonGenerator json, Usage usage) throws IOException {
        json.writeStartObject();
        head(json, chunkObject);
        json.writeArrayFieldStart("choices");
        json.writeEndArray();
        usage.write(json);
        json.writeEndObject();
    }

    void whole(JsonGenerator json, List<Choice> choices, Usage usage) throws IOException {
        json.writeStartObject();
        head(json, wholeObject);
        json.writeArrayFieldStart("choices");
        for (int i = 0; i < choices.size(); i++) {
            json.writeStartObject();
            json.writeNumberField("index", i);
            whole(json, i, choices.get(i));
            json.writeStringField("finish_reason", word(i, choices.get(i).reason()));
            json.writeEndObject();
        }
        json.writeEndArray();
        usage.write(json);
        end(json);
        json.writeEndObject();
    }

    /** Writes what follows all choices of a whole answer. */
    void end(JsonGenerator json) throws IOException {}

    /** Writes the fields of a chunk's choice between its index and its finish reason. */
    abstract void piece(JsonGenerator json, int choice, boolean first, String text, TokenLogprobs logprobs, boolean last) throws IOException;

    /** Writes the fields of a whole choice between its index and its finish reason. */
    abstract void whole(JsonGenerator json, int index, Choice choice) throws IOException;

    private void head(JsonGenerator json, String object) throws IOException {
        json.writeStringField("id", id);
        json.writeStringField("object", object);
        json.writeNumberField("created", created);
        json.writeStringField("model", model);
    }

    /** Takes the next piece of a choice's text; false when there is nothing to send yet. */
    boolean takes(int choice, String text) {
        return !text.isEmpty();
    }

    /** Why a choice has ended, once it was written. */
    String word(int choice, FinishReason reason) {
        return switch (reason) {
            case STOP -> "stop";
            case LENGTH -> "length";
            case CANCELLED -> "abort";
        };
    }
}
