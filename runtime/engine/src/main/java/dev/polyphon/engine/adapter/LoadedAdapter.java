package dev.polyphon.engine.adapter;

import dev.polyphon.engine.backend.Owned;
import dev.polyphon.engine.model.AdapterWeights;

/**
 * An adapter in memory: its forms, and the memory they stand in, which closing releases. No step that uses the forms may be running then.
 *
 * @param bytes what it weighs
 */
public record LoadedAdapter(AdapterWeights weights, long bytes, Owned memory) implements AutoCloseable {
    @Override
    public void close() {
        memory.close();
    }
}
