package dev.polyphon.runtime;

import java.util.List;

/**
 * Hears what becomes of one generation. Calls come one at a time, mostly on the step loop's thread: they must not block or compute.
 *
 * <p>Order: either {@link #failed} alone, or {@link #queued} where the runtime tells of it, {@link #started}, {@link #scored} where that was asked for, any number of {@link #token} calls with choices interleaved, and one
 * {@link #finished} per choice; {@link #failed} may cut this off at any point and is then the last call. Of an {@linkplain Runtime#embed embedding} there is
 * one choice, which has no tokens: {@link #embedded} comes before it is finished.
 */
public interface TokenSink {

    /**
     * The prompt was encoded and its adapters are where the model computes: from now on it waits for its place in the batch. Told anew when adapters had to
     * give way meanwhile and have come back.
     */
    default void queued() {}

    /**
     * The prompt was accepted and its first tokens are about to be computed.
     *
     * @param cachedTokens how many of the prompt's tokens need not be, because an earlier request had the same beginning
     */
    void started(int promptTokens, int cachedTokens);

    /**
     * How likely the prompt's own tokens are, when {@link Sampling#promptLogprobs} asks for it: before any other choice begins, and before all tokens.
     *
     * @param prompt one for each of the prompt's tokens, special ones with the text they are written with; nothing comes before the first, whose log
     *     probability is NaN, with no others beside it
     */
    default void scored(List<TokenLogprobs> prompt) {}

    void token(TokenEvent event);

    /** @param values the vector that was asked for; the sink's own from now on */
    default void embedded(float[] values) {}

    /**
     * A choice ended.
     *
     * @param text characters that had been held back (because they might have begun a stop string or an unfinished character)
     * @param generatedTokens how many tokens this choice generated in all
     */
    void finished(int choice, String text, FinishReason reason, int generatedTokens);

    void failed(RuntimeFault fault);
}
