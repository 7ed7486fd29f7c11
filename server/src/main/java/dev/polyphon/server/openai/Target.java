package dev.polyphon.server.openai;

import dev.polyphon.runtime.AdapterWeight;
import dev.polyphon.runtime.ModelInfo;
import java.util.List;

/**
 * What a request asks for.
 *
 * @param requested the {@code model} of the request, which the answer repeats
 * @param base the base model
 * @param adapter the adapter's name, or null for the base alone
 */
public record Target(String requested, ModelInfo base, String adapter) {

    public List<AdapterWeight> adapters() {
        return adapter == null ? List.of() : List.of(new AdapterWeight(adapter));
    }
}
