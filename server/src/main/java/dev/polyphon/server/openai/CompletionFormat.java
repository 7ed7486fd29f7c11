package dev.polyphon.server.openai;

import com.fasterxml.jackson.core.JsonGenerator;
import dev.polyphon.runtime.TokenLogprobs;
import java.io.IOException;
import java.util.Arrays;
import java.util.List;

/** Answers of {@code /v1/completions}. */
final class CompletionFormat extends Format {
    private final List<String> echoes;
    private final int choicesPerPrompt;
    private final boolean logprobs;
    private int[] offsets = {};

    /** @param echoes texts to put before the choices of each prompt; empty for none */
    CompletionFormat(String model, List<String> echoes, int choicesPerPrompt, boolean logprobs) {
        super("cmpl-", model, "text_completion", "text_completion");
        this.echoes = echoes;
        this.choicesPerPrompt = choicesPerPrompt;
        this.logprobs = logprobs;
    }

    private String echo(int choice) {
        return echoes.isEmpty() ? "" : echoes.get(choice / choicesPerPrompt);
    }

    @Override
    void piece(JsonGenerator json, int choice, boolean first, String text, TokenLogprobs token, boolean last) throws IOException {
        json.writeStringField("text", first ? echo(choice).concat(text) : text);
        if (logprobs && token != null) {
            if (choice >= offsets.length) {
                offsets = Arrays.copyOf(offsets, Math.max(choice + 1, 2 * offsets.length));
            }
            offsets[choice] = Logprobs.completion(json, List.of(token), offsets[choice]);
        } else {
            json.writeNullField("logprobs");
        }
    }

    @Override
    void whole(JsonGenerator json, int index, Choice choice) throws IOException {
        json.writeStringField("text", echo(index).concat(choice.text()));
        if (logprobs) {
            Logprobs.completion(json, choice.logprobs(), 0);
        } else {
            json.writeNullField("logprobs");
        }
    }
}
