package dev.polyphon.client;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.EOFException;
import java.io.IOException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Flow;
import java.util.function.Consumer;

/** Reads an answer's server-sent events line by line: pieces of text go to the listener as they come, and the whole is the answer. */
final class Events implements Flow.Subscriber<String> {
    private final ObjectMapper json;
    private final Consumer<String> listener;
    private final StringBuilder text = new StringBuilder();
    private final CompletableFuture<Answer> answer = new CompletableFuture<>();
    private Flow.Subscription subscription;
    private JsonNode last;
    private String finishReason;
    private int promptTokens;
    private int completionTokens;

    Events(ObjectMapper json, Consumer<String> listener) {
        this.json = json;
        this.listener = listener;
    }

    CompletableFuture<Answer> answer() {
        return answer;
    }

    @Override
    public void onSubscribe(Flow.Subscription opened) {
        subscription = opened;
        opened.request(Long.MAX_VALUE);
    }

    @Override
    public void onNext(String line) {
        if (!line.startsWith("data:") || answer.isDone()) {
            return;
        }
        String data = line.substring(5).strip();
        try {
            if (data.equals("[DONE]") && last == null) {
                fail(new IOException("the server ended the answer before it began"));
            } else if (data.equals("[DONE]")) {
                answer.complete(new Answer(last.path("id").asText(), last.path("model").asText(), text.toString(), finishReason, promptTokens, completionTokens));
            } else {
                take(json.readTree(data));
            }
        } catch (JsonProcessingException e) {
            fail(new IOException("the server sent an event that is not JSON: " + data, e));
        } catch (PolyphonException | RuntimeException e) {
            fail(e);
        }
    }

    private void take(JsonNode chunk) throws PolyphonException {
        if (chunk.has("error")) {
            throw new PolyphonException(200, chunk.path("error").path("code").textValue(), chunk.path("error").path("message").asText(), null);
        }
        last = chunk;
        for (JsonNode choice : chunk.path("choices")) {
            String piece = choice.path("delta").path("content").asText(choice.path("text").asText(""));
            if (!piece.isEmpty()) {
                text.append(piece);
                listener.accept(piece);
            }
            finishReason = choice.path("finish_reason").isTextual() ? choice.path("finish_reason").textValue() : finishReason;
        }
        promptTokens = chunk.path("usage").path("prompt_tokens").asInt(promptTokens);
        completionTokens = chunk.path("usage").path("completion_tokens").asInt(completionTokens);
    }

    private void fail(Exception reason) {
        answer.completeExceptionally(reason);
        subscription.cancel();
    }

    @Override
    public void onError(Throwable reason) {
        answer.completeExceptionally(reason);
    }

    @Override
    public void onComplete() {
        answer.completeExceptionally(new EOFException("the answer was cut off"));
    }
}
