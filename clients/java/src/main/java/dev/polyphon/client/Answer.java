package dev.polyphon.client;

/**
 * The answer to a request: its first choice.
 *
 * @param id names it in the server's logs and traces
 * @param finishReason {@code stop} or {@code length}
 */
public record Answer(String id, String model, String text, String finishReason, int promptTokens, int completionTokens) {}
