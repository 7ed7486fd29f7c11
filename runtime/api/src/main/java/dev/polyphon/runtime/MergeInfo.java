package dev.polyphon.runtime;

import java.time.Instant;
import java.util.List;
import java.util.Locale;

/**
 * An adapter, or a weighted mix, that is merged or about to be.
 *
 * @param id tells it from others of the same runtime
 * @param owner as whose the adapters are found; empty for shared ones
 * @param adapters one, or the parts of a mix
 * @param progress how much of the copy has been made, from 0 to 1
 * @param bytes what the copy takes, or is going to take; 0 before that is known
 * @param requests those that were begun with the copy and have not ended
 * @param since when it came into its state
 * @param saving part of the steps' time that it was last measured to save, below 0 when it costs time; NaN when that was not measured
 * @param reason why it failed, or null
 */
public record MergeInfo(long id, String owner, List<AdapterWeight> adapters, State state, Cause cause, double progress, long bytes, int requests,
        Instant since, double saving, String reason) {

    /** How far it is. */
    public enum State {
        /** Waits for its turn, or for its adapter. */
        QUEUED,
        /** A part of it is being timed against the adapter as it is. */
        MEASURING,
        /** The copy is being made. */
        MERGING,
        /** New requests use the copy. */
        MERGED,
        /** New requests do not, but some that began with it have not ended. */
        UNMERGING,
        /** The copy could not be made, and nothing is left of it. */
        FAILED;

        /** As users read it: in lower case. */
        public String text() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    /** Why it is merged. */
    public enum Cause {
        OPERATOR,
        PINNED,
        AUTO;

        /** As users read it: in lower case. */
        public String text() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    public MergeInfo {
        adapters = List.copyOf(adapters);
    }
}
