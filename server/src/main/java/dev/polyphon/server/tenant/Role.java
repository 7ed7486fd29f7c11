package dev.polyphon.server.tenant;

import java.util.Locale;

/** What a key opens. */
public enum Role {
    /** The tenant's own requests. */
    TENANT,
    /** The metrics of all tenants, and nothing else. */
    MONITOR,
    /** Everything. */
    OPERATOR;

    public String text() {
        return name().toLowerCase(Locale.ROOT);
    }

    boolean opens(Role wanted) {
        return this == OPERATOR || this == wanted;
    }
}
