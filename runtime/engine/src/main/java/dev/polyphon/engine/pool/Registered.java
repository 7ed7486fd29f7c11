package dev.polyphon.engine.pool;

import dev.polyphon.runtime.AdapterId;
import dev.polyphon.runtime.AdapterSource;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * A registered adapter.
 *
 * @param number of its current version
 * @param versions the oldest first; never empty
 * @param deleted when it was removed, or null
 */
record Registered(AdapterId id, long number, List<Version> versions, Map<String, String> labels, boolean pinned, Instant deleted) {

    /**
     * What an adapter was at a time; never changes, except that its hash and kind become known.
     *
     * @param number unique in a registry
     * @param hash SHA-256 of its files, in hex; empty until they have been read
     * @param kind the form its configuration names; empty until that has been read
     */
    record Version(long number, String hash, String kind, AdapterSource source, Instant registered) {}

    private static final int LEAST_DIGITS = 8;

    Registered {
        versions = List.copyOf(versions);
        labels = Map.copyOf(labels);
    }

    Version current() {
        return versions.stream().filter(version -> version.number == number).findFirst().orElseThrow();
    }

    /** The newest version whose hash begins so. */
    Optional<Version> version(String digits) {
        return digits.length() < LEAST_DIGITS ? Optional.empty()
                : versions.reversed().stream().filter(version -> version.hash.startsWith(digits)).findFirst();
    }

    Registered withVersions(List<Version> all, long current) {
        return new Registered(id, current, all, labels, pinned, deleted);
    }

    Registered withLabels(Map<String, String> value) {
        return new Registered(id, number, versions, value, pinned, deleted);
    }

    Registered withPinned(boolean value) {
        return new Registered(id, number, versions, labels, value, deleted);
    }

    Registered withDeleted(Instant value) {
        return new Registered(id, number, versions, labels, pinned, value);
    }
}
