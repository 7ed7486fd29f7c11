package dev.polyphon.runtime;

import java.time.Duration;
import java.util.Objects;

/**
 * Where a request stands among those that want the same machine. The front end fills it from what it knows of the tenant; nothing in it is the
 * client's word alone.
 *
 * @param tenant who asks: the machine is shared out among tenants
 * @param share the tenant's weight: while both wait, one of share 2 gets twice the service of one of share 1. All requests of a tenant carry the
 *     same; when it changes, the newest request's holds
 * @param priority among the tenant's own requests, from {@link #LOWEST} to {@link #HIGHEST}. A level is worth some time of waiting, so that nothing
 *     waits for ever; other tenants are not affected
 * @param maxWait longest time in the queue, from {@link Runtime#generate} to the first step; a request that waited so long fails with
 *     {@link RuntimeFault.Kind#QUEUE_TIMEOUT}. {@link #NO_LIMIT} waits as long as it takes. Of one tenant's requests of one priority, the one whose
 *     time is up first goes first
 * @param cacheScope requests of the same scope may use each other's computed prefixes, and so can learn by timing that a prefix was asked for before;
 *     empty for the runtime's own choice, which is the tenant unless its operator shares among all
 */
public record Scheduling(String tenant, double share, int priority, Duration maxWait, String cacheScope) {
    public static final int LOWEST = -10;
    public static final int HIGHEST = 10;
    /** The {@link #cacheScope} of a request that neither uses nor leaves computed prefixes. */
    public static final String UNCACHED = "\0";
    public static final Duration NO_LIMIT = Duration.ofSeconds(Long.MAX_VALUE);

    public Scheduling {
        Objects.requireNonNull(tenant);
        Objects.requireNonNull(maxWait);
        Objects.requireNonNull(cacheScope);
        if (!(share > 0) || share == Double.POSITIVE_INFINITY) {
            throw new IllegalArgumentException("share must be above 0, found " + share);
        }
        if (priority < LOWEST || priority > HIGHEST) {
            throw new IllegalArgumentException("priority must be from " + LOWEST + " to " + HIGHEST + ", found " + priority);
        }
        if (maxWait.isNegative()) {
            throw new IllegalArgumentException("maxWait must not be negative, found " + maxWait);
        }
    }

    /** Share 1, priority 0, no limit on the wait, the runtime's own cache scope. */
    public static Scheduling of(String tenant) {
        return new Scheduling(tenant, 1, 0, NO_LIMIT, "");
    }

    public Scheduling withShare(double value) {
        return new Scheduling(tenant, value, priority, maxWait, cacheScope);
    }

    public Scheduling withPriority(int value) {
        return new Scheduling(tenant, share, value, maxWait, cacheScope);
    }

    public Scheduling withMaxWait(Duration value) {
        return new Scheduling(tenant, share, priority, value, cacheScope);
    }

    public Scheduling withCacheScope(String value) {
        return new Scheduling(tenant, share, priority, maxWait, value);
    }
}
