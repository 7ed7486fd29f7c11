package dev.polyphon.runtime;

import java.time.Instant;
import java.util.List;
import java.util.Map;

/**
 * A version of a registered adapter.
 *
 * @param id its owner and name
 * @param version SHA-256 of its files, in hex; empty until they have been read for the first time
 * @param base the base model it belongs to
 * @param kind the form its configuration names, for example {@code LORA}; empty until that has been read
 * @param source where its files come from
 * @param labels what its owner notes about it
 * @param pinned whether it stays in memory while not in use
 * @param registered when this version was
 * @param deleted when it was removed, or null; it can be restored for some time
 * @param tier where it is now
 * @param failure why it cannot be used at the moment, or null
 * @param warnings what is odd about it and may be meant, for example modules that it changes in some layers only; known while it is loaded
 * @param bytes size of its weights in memory or, while they are not, of its files as far as known
 */
public record AdapterInfo(
        AdapterId id,
        String version,
        String base,
        String kind,
        AdapterSource source,
        Map<String, String> labels,
        boolean pinned,
        Instant registered,
        Instant deleted,
        AdapterTier tier,
        AdapterFailure failure,
        List<String> warnings,
        long bytes) {

    public AdapterInfo {
        labels = Map.copyOf(labels);
        warnings = List.copyOf(warnings);
    }

    public String owner() {
        return id.owner();
    }

    public String name() {
        return id.name();
    }

    /** Whether its weights are where the model computes. */
    public boolean loaded() {
        return tier.compareTo(AdapterTier.LOADED) >= 0;
    }
}
