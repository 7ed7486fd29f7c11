package dev.polyphon.runtime;

import java.util.List;
import java.util.Objects;

/**
 * One request for a prompt's embedding: its hidden states after the final norm, pooled into one vector of {@link ModelInfo#width()} numbers.
 *
 * @param id names the request in logs and traces
 * @param model name of the base model
 * @param adapters the adapters to apply; empty for the base alone, several for a weighted mix
 * @param normalize whether the vector is scaled to length 1
 * @param scheduling who asks, and where that puts the request among others
 */
public record EmbeddingRequest(
        String id, String model, List<AdapterWeight> adapters, Prompt prompt, Pooling pooling, boolean normalize, Scheduling scheduling) {

    public EmbeddingRequest {
        Objects.requireNonNull(id);
        Objects.requireNonNull(model);
        Objects.requireNonNull(prompt);
        Objects.requireNonNull(pooling);
        Objects.requireNonNull(scheduling);
        adapters = List.copyOf(adapters);
    }

    public String tenant() {
        return scheduling.tenant();
    }

    public EmbeddingRequest withScheduling(Scheduling value) {
        return new EmbeddingRequest(id, model, adapters, prompt, pooling, normalize, value);
    }
}
