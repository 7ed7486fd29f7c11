package dev.polyphon.server.openai;

import dev.polyphon.runtime.FinishReason;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.runtime.TokenEvent;
import dev.polyphon.runtime.TokenLogprobs;
import java.util.List;

/** What a runtime says about one of a call's generations, on its way to the event loop. Choices are counted over all generations. */
sealed interface Event {
    /** The call was handed to the runtime, at that {@link System#nanoTime()}. */
    record Accepted(long time) implements Event {}

    /** A prompt waits for the batch alone, its adapters being there, since that {@link System#nanoTime()}. */
    record Queued(long time) implements Event {}

    /** A prompt entered the batch, at that {@link System#nanoTime()}. */
    record Started(int promptTokens, int cachedTokens, long time) implements Event {}

    /** The call's first token came, at that {@link System#nanoTime()}. */
    record First(long time) implements Event {}

    record Scored(int prompt, List<TokenLogprobs> tokens) implements Event {}

    record Token(int choice, TokenEvent event) implements Event {}

    record Embedded(int choice, float[] values) implements Event {}

    record Finished(int choice, String text, FinishReason reason, int tokens, long nanos) implements Event {}

    record Failed(RuntimeFault fault) implements Event {}
}
