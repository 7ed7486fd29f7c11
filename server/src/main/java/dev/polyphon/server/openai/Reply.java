package dev.polyphon.server.openai;

import dev.polyphon.runtime.FinishReason;
import dev.polyphon.runtime.TokenEvent;
import dev.polyphon.runtime.TokenLogprobs;
import java.util.List;

/** How a request is answered. Called on its event loop; what is written may be kept until {@link #flush}. */
public interface Reply {
    /** A prompt entered the batch. */
    default void started(int promptTokens) {}

    /**
     * How likely the tokens of a prompt are, before those of its choices; see {@link dev.polyphon.runtime.TokenSink#scored}.
     *
     * @param prompt its number among the request's
     * @throws ApiException when that is more than the request may ask for
     */
    default void scored(int prompt, List<TokenLogprobs> tokens) {}

    void token(int choice, TokenEvent event);

    /** A prompt's embedding, where those were asked for. */
    default void embedded(int choice, float[] values) {}

    void finished(int choice, String text, FinishReason reason);

    /** All choices have finished. */
    void done(Usage usage);

    /** The request failed; nothing follows. */
    void failed(ApiError error);

    /** Sends what has been written; false when the client does not keep up, and more is better kept back. */
    boolean flush();
}
