package dev.polyphon.runtime;

import java.util.Locale;

/** How near an adapter is to being computed with. */
public enum AdapterTier {
    /** Known by name; its files are still where they come from. */
    REGISTERED,
    /** On the way here. */
    FETCHING,
    /** Its files are on this machine. */
    DISK,
    /** Its files are in this machine's memory. */
    HOST,
    /** Its weights are where the model computes. */
    LOADED,
    /** Folded into a copy of the base's weights. */
    MERGED;

    /** As users read and write it: in lower case. */
    public String text() {
        return name().toLowerCase(Locale.ROOT);
    }
}
