package dev.polyphon.engine.adapter;

import dev.polyphon.engine.backend.Owned;
import dev.polyphon.engine.model.AdapterWeights;
import java.util.List;

/**
 * An adapter in memory: its forms, and the memory they stand in, which closing releases. No step that uses the forms may be running then.
 *
 * @param bytes what it weighs
 * @param warnings sentences for its owner: what is odd about it, and may be meant
 */
public record LoadedAdapter(AdapterWeights weights, long bytes, Owned memory, List<String> warnings) implements AutoCloseable {
    public LoadedAdapter(AdapterWeights weights, long bytes, Owned memory) {
        this(weights, bytes, memory, List.of());
    }

    @Override
    public void close() {
        memory.close();
    }
}
