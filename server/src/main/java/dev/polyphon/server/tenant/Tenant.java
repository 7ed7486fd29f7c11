package dev.polyphon.server.tenant;

import dev.polyphon.runtime.RuntimeFault;
import java.time.Instant;
import java.util.regex.Pattern;

/**
 * Someone who shares the machine with others.
 *
 * @param enabled while not, all its keys are refused
 * @param share its weight when the machine is short: one of share 2 gets twice what one of share 1 gets
 * @param models base models it may use
 * @param adapters shared adapters it may use; its own it may use always
 * @param defaultAdapter what requests without a model get; null for the base
 */
public record Tenant(String name, boolean enabled, double share, Limits limits, Globs models, Globs adapters, String defaultAdapter, Instant created) {
    private static final Pattern NAME = Pattern.compile("[a-z0-9][a-z0-9._-]{0,62}");

    /** Metrics call those together so that have no labels of their own. */
    private static final String RESERVED = "other";

    /** Throws a {@link RuntimeFault} of kind {@code INVALID} for what is not allowed. */
    public Tenant {
        if (!NAME.matcher(name).matches() || name.equals(RESERVED)) {
            throw RuntimeFault.invalid("name", "a tenant's name has up to 63 of a-z, 0-9, '.', '_' and '-', begins with a letter or digit, and is not '" + RESERVED + "'");
        }
        if (!(share >= 0.001 && share <= 1000)) {
            throw RuntimeFault.invalid("share", "'share' must be from 0.001 to 1000, found " + share);
        }
    }

    /** A tenant without limits. */
    public static Tenant named(String name, Instant created) {
        return new Tenant(name, true, 1, Limits.STANDARD, Globs.ALL, Globs.ALL, null, created);
    }
}
