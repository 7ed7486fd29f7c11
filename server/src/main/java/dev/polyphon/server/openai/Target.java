package dev.polyphon.server.openai;

import dev.polyphon.runtime.AdapterWeight;
import dev.polyphon.runtime.ModelInfo;
import java.util.List;
import java.util.stream.Collectors;

/**
 * What a request asks for.
 *
 * @param requested the {@code model} of the request, which the answer repeats
 * @param base the base model
 * @param adapters those that are added up; none for the base alone
 */
public record Target(String requested, ModelInfo base, List<AdapterWeight> adapters) {
    public Target {
        adapters = List.copyOf(adapters);
    }

    /** The adapter's name, those of a mix joined by {@code +}; null for the base alone. */
    public String adapter() {
        return adapters.isEmpty() ? null : adapters.stream().map(AdapterWeight::name).collect(Collectors.joining("+"));
    }

    /**
     * The same for one of its adapter's tasks or languages.
     *
     * @param task null for none
     */
    public Target withTask(String task) {
        if (task == null) {
            return this;
        }
        if (adapters.size() != 1) {
            throw ApiException.invalid("task", "invalid_value", "'task' names a task of an adapter, and the request names none.");
        }
        AdapterWeight adapter = adapters.getFirst();
        return new Target(requested, base, List.of(new AdapterWeight(adapter.name(), adapter.weight(), task)));
    }
}
