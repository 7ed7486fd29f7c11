package dev.polyphon.server.openai;

import com.fasterxml.jackson.core.JsonGenerator;
import dev.polyphon.runtime.TokenLogprobs;
import java.io.IOException;
import java.util.Arrays;
import java.util.List;

/** Answers of {@code /v1/completions}. */
final class CompletionFormat extends Format {
    private final List<String> echoes;
    private final PromptScores scores;
    private final int choicesPerPrompt;
    private final boolean logprobs;
    private int[] offsets = {};

    /** @param echoes texts to put before the choices of each prompt; empty for none */
    CompletionFormat(String model, List<String> echoes, PromptScores scores, int choicesPerPrompt, boolean logprobs) {
        super("cmpl-", model, "text_completion", "text_completion", scores);
        this.echoes = echoes;
        this.scores = scores;
        this.choicesPerPrompt = choicesPerPrompt;
        this.logprobs = logprobs;
    }

    private String echo(int choice) {
        return echoes.isEmpty() ? "" : echoes.get(choice / choicesPerPrompt);
    }

    @Override
    void piece(JsonGenerator json, int choice, boolean first, String text, TokenLogprobs token, boolean last) throws IOException {
        String echo = first ? echo(choice) : "";
        json.writeStringField("text", echo.concat(text));
        List<TokenLogprobs> prompt = first ? scores.echoed(choice / choicesPerPrompt) : List.of();
        if (logprobs && (token != null || !prompt.isEmpty())) {
            if (choice >= offsets.length) {
                offsets = Arrays.copyOf(offsets, Math.max(choice + 1, 2 * offsets.length));
            }
            offsets[choice] = Logprobs.completion(json, prompt, echo, token == null ? List.of() : List.of(token),
                    offsets[choice] + Logprobs.characters(echo));
        } else {
            json.writeNullField("logprobs");
        }
    }

    @Override
    void whole(JsonGenerator json, int index, Choice choice) throws IOException {
        String echo = echo(index);
        json.writeStringField("text", echo.concat(choice.text()));
        if (logprobs) {
            Logprobs.completion(json, scores.echoed(index / choicesPerPrompt), echo, choice.logprobs(), Logprobs.characters(echo));
        } else {
            json.writeNullField("logprobs");
        }
        scores.list(json, index / choicesPerPrompt);
    }
}
