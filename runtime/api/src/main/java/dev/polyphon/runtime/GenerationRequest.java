package dev.polyphon.runtime;

import java.util.List;
import java.util.Objects;

/**
 * One request for tokens.
 *
 * @param id names the request in logs and traces
 * @param model name of the base model
 * @param adapters the adapters to apply; empty for the base alone, several for a weighted mix
 * @param prompt what to continue
 * @param sampling how to choose tokens and when to stop
 * @param choices number of independent continuations, at least 1; choice {@code i} is seeded with {@code seed + i}
 * @param scheduling who asks, and where that puts the request among others
 */
public record GenerationRequest(
        String id, String model, List<AdapterWeight> adapters, Prompt prompt, Sampling sampling, int choices, Scheduling scheduling) {

    public GenerationRequest {
        Objects.requireNonNull(id);
        Objects.requireNonNull(model);
        Objects.requireNonNull(prompt);
        Objects.requireNonNull(sampling);
        Objects.requireNonNull(scheduling);
        adapters = List.copyOf(adapters);
        if (choices < 1) {
            throw new IllegalArgumentException("choices must be at least 1, found " + choices);
        }
    }

    /** A request of a tenant that stands like any other. */
    public GenerationRequest(
            String id, String tenant, String model, List<AdapterWeight> adapters, Prompt prompt, Sampling sampling, int choices) {
        this(id, model, adapters, prompt, sampling, choices, Scheduling.of(tenant));
    }

    public String tenant() {
        return scheduling.tenant();
    }

    public GenerationRequest withScheduling(Scheduling value) {
        return new GenerationRequest(id, model, adapters, prompt, sampling, choices, value);
    }
}
