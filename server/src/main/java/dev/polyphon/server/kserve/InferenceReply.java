package dev.polyphon.server.kserve;

import dev.polyphon.runtime.FinishReason;
import dev.polyphon.runtime.TokenEvent;
import dev.polyphon.runtime.TokenLogprobs;
import dev.polyphon.server.openai.ApiError;
import dev.polyphon.server.openai.Choice;
import dev.polyphon.server.openai.CollectedReply;
import dev.polyphon.server.openai.Json;
import dev.polyphon.server.openai.Logprobs;
import dev.polyphon.server.openai.Reply;
import dev.polyphon.server.openai.Usage;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.function.ToIntFunction;

/** Turns what becomes of a request into tensors: at the end or, streaming, whenever something has come. */
final class InferenceReply implements Reply {
    private final Inference asked;
    private final Sender sender;
    private final List<Part> parts = new ArrayList<>();
    private final CollectedReply collected;
    private int promptTokens;
    private boolean fresh;

    /** A continuation's tokens since the last answer, and its sum over all. */
    private static final class Part {
        final StringBuilder text = new StringBuilder();
        final List<TokenLogprobs> logprobs = new ArrayList<>();
        int tokens;
        float logprob;
        FinishReason reason;

        void clear() {
            text.setLength(0);
            logprobs.clear();
            tokens = 0;
        }
    }

    InferenceReply(Inference asked, Sender sender) {
        this.asked = asked;
        this.sender = sender;
        for (int i = 0; i < asked.generate().choices(); i++) {
            parts.add(new Part());
        }
        collected = asked.generate().stream() ? null : new CollectedReply(asked.generate()) {
            @Override
            protected void done(List<Choice> choices, Usage usage) {
                take(choices);
            }

            @Override
            public void failed(ApiError error) {
                sender.failed(error);
            }
        };
    }

    private void take(List<Choice> choices) {
        for (int i = 0; i < choices.size(); i++) {
            Part part = parts.get(i);
            Choice choice = choices.get(i);
            part.text.append(asked.prefix()).append(choice.text());
            choice.logprobs().forEach(token -> add(part, token));
            part.tokens = choice.tokens();
            part.reason = choice.reason();
        }
        send(true);
    }

    private static void add(Part part, TokenLogprobs token) {
        part.logprobs.add(token);
        part.logprob += token.chosen().logprob();
    }

    @Override
    public void started(int prompt) {
        promptTokens = prompt;
    }

    @Override
    public void token(int choice, TokenEvent event) {
        if (collected != null) {
            collected.token(choice, event);
            return;
        }
        Part part = parts.get(choice);
        part.text.append(event.text());
        part.tokens++;
        if (event.logprobs() != null) {
            add(part, event.logprobs());
        }
        fresh |= !event.text().isEmpty();
    }

    @Override
    public void finished(int choice, String text, FinishReason reason) {
        if (collected != null) {
            collected.finished(choice, text, reason);
            return;
        }
        parts.get(choice).text.append(text);
        parts.get(choice).reason = reason;
        fresh |= !text.isEmpty();
    }

    @Override
    public void done(Usage usage) {
        if (collected != null) {
            collected.done(usage);
        } else {
            send(true);
        }
    }

    @Override
    public void failed(ApiError error) {
        sender.failed(error);
    }

    @Override
    public boolean flush() {
        if (fresh) {
            send(false);
        }
        return true;
    }

    private void send(boolean last) {
        var outputs = new ArrayList<Result.Output>();
        for (Signature output : Signature.OUTPUTS) {
            if (asked.outputs().contains(output.name())) {
                outputs.add(new Result.Output(output.name(), output.datatype(), data(output.name())));
            }
        }
        parts.forEach(Part::clear);
        fresh = false;
        sender.send(new Result(asked.generate().target().requested(), asked.requestId(), outputs, last));
    }

    private List<?> data(String name) {
        return switch (name) {
            case Signature.TEXT_OUTPUT -> parts.stream().map(part -> part.text.toString()).toList();
            case Signature.FINISH_REASON -> parts.stream().map(part -> word(part.reason)).toList();
            case Signature.CUMULATIVE_LOGPROB -> parts.stream().map(part -> part.logprob).toList();
            case Signature.LOGPROBS -> parts.stream().map(part -> json(part.logprobs)).toList();
            case Signature.INPUT_TOKENS -> List.of(promptTokens);
            case Signature.OUTPUT_TOKENS -> parts.stream().map(part -> part.tokens).toList();
            default -> throw new IllegalStateException(name);
        };
    }

    private static String word(FinishReason reason) {
        return switch (reason) {
            case null -> "None";
            case STOP -> "stop";
            case LENGTH -> "length";
            case CANCELLED -> "abort";
        };
    }

    /** One object a token: ids to log probability, rank and text, as vLLM has them. */
    private static String json(List<TokenLogprobs> tokens) {
        return new String(Json.bytes(json -> {
            json.writeStartArray();
            for (TokenLogprobs token : tokens) {
                ToIntFunction<TokenLogprobs.Entry> rank = entry -> 1 + ids(token.top()).indexOf(entry.token());
                var entries = new ArrayList<>(token.top());
                if (rank.applyAsInt(token.chosen()) == 0) {
                    entries.addFirst(token.chosen());
                }
                json.writeStartObject();
                for (TokenLogprobs.Entry entry : entries) {
                    json.writeObjectFieldStart(Integer.toString(entry.token()));
                    json.writeNumberField("logprob", Logprobs.finite(entry.logprob()));
                    if (rank.applyAsInt(entry) > 0) {
                        json.writeNumberField("rank", rank.applyAsInt(entry));
                    }
                    json.writeStringField("decoded_token", entry.text());
                    json.writeEndObject();
                }
                json.writeEndObject();
            }
            json.writeEndArray();
        }), StandardCharsets.UTF_8);
    }

    private static List<Integer> ids(List<TokenLogprobs.Entry> entries) {
        return entries.stream().map(TokenLogprobs.Entry::token).toList();
    }
}
