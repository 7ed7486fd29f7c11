package dev.polyphon.runtime;

import java.util.List;
import java.util.Objects;

/**
 * One request for tokens.
 *
 * @param id names the request in logs and traces
 * @param tenant who asks; fairness and cache sharing are by tenant
 * @param model name of the base model
 * @param adapters the adapters to apply; empty for the base alone, several for a weighted mix
 * @param prompt what to continue
 * @param sampling how to choose tokens and when to stop
 * @param choices number of independent continuations, at least 1; choice {@code i} is seeded with {@code seed + i}
 */
public record GenerationRequest(
        String id, String tenant, String model, List<AdapterWeight> adapters, Prompt prompt, Sampling sampling, int choices) {

    public GenerationRequest {
        Objects.requireNonNull(id);
        Objects.requireNonNull(tenant);
        Objects.requireNonNull(model);
        Objects.requireNonNull(prompt);
        Objects.requireNonNull(sampling);
        adapters = List.copyOf(adapters);
        if (choices < 1) {
            throw new IllegalArgumentException("choices must be at least 1, found " + choices);
        }
    }
}
