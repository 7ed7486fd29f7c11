package dev.polyphon.runtime;

import java.nio.file.Path;
import java.util.Map;
import java.util.Objects;

/**
 * An adapter to be registered.
 *
 * @param version the SHA-256 its files must have, in hex; null to take them as they are
 * @param replace whether a registered adapter of that name gets this as its new version, instead of a {@code CONFLICT}
 */
public record AdapterRegistration(AdapterId id, String base, AdapterSource source, Map<String, String> labels, String version, boolean replace) {
    public AdapterRegistration {
        Objects.requireNonNull(id);
        Objects.requireNonNull(base);
        Objects.requireNonNull(source);
        labels = Map.copyOf(labels);
    }

    /** A folder's adapter for every tenant. */
    public static AdapterRegistration folder(String name, String base, Path folder) {
        return new AdapterRegistration(AdapterId.shared(name), base, new AdapterSource.Folder(folder), Map.of(), null, false);
    }

    public AdapterRegistration replacing(boolean value) {
        return new AdapterRegistration(id, base, source, labels, version, value);
    }
}
