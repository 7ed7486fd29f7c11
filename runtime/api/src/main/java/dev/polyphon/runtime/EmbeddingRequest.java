package dev.polyphon.runtime;

import java.util.List;
import java.util.Objects;

/**
 * One request for the vector of a text.
 *
 * @param id names the request in logs and traces
 * @param tenant who asks
 * @param model name of the base model
 * @param adapters the adapters to apply, as in {@link GenerationRequest}
 * @param prompt what to represent
 * @param pooling how the tokens' vectors become one
 * @param normalise whether the vector is scaled to length 1
 */
public record EmbeddingRequest(
        String id, String tenant, String model, List<AdapterWeight> adapters, Prompt prompt, Pooling pooling, boolean normalise) {

    /** Of the hidden states behind the last norm. */
    public enum Pooling {
        /** The mean over all tokens. */
        MEAN,
        /** The last token's, which has seen all others. */
        LAST
    }

    public EmbeddingRequest {
        Objects.requireNonNull(id);
        Objects.requireNonNull(tenant);
        Objects.requireNonNull(model);
        Objects.requireNonNull(prompt);
        Objects.requireNonNull(pooling);
        adapters = List.copyOf(adapters);
    }
}
