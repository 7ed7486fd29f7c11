package dev.polyphon.engine.schedule;

import java.time.Duration;
import java.util.Objects;

/**
 * What an operator decides about scheduling.
 *
 * @param fairness among whom the machine is shared out
 * @param outputPrice what a token of output counts in that, one of a prompt being 1
 * @param maxWait longest time in the queue of requests that do not say themselves; null for as long as it takes
 * @param tenantQueueLimit most sequences of one tenant accepted and not yet finished, beyond which its requests are refused
 * @param prefixCache which requests may use what was computed for the beginning of others
 * @param tokenTime longest a step should take in which sequences go on and prompts are read; null for any
 * @param clusterTime a sequence is passed by those of its client that are due so much later, if their adapter runs already; null for none
 */
public record SchedulePolicy(Fairness fairness, double outputPrice, Duration maxWait, int tenantQueueLimit, PrefixSharing prefixCache, Duration tokenTime,
        Duration clusterTime) {
    public static final SchedulePolicy DEFAULT = new SchedulePolicy(Fairness.TENANT, 2, null, Integer.MAX_VALUE, PrefixSharing.TENANT, null, null);

    public SchedulePolicy {
        Objects.requireNonNull(fairness);
        Objects.requireNonNull(prefixCache);
        if (!(outputPrice >= 0) || outputPrice == Double.POSITIVE_INFINITY) {
            throw new IllegalArgumentException("outputPrice must be 0 or more, found " + outputPrice);
        }
        if (maxWait != null && (maxWait.isNegative() || maxWait.isZero())) {
            throw new IllegalArgumentException("maxWait must be above 0, found " + maxWait);
        }
        if (tokenTime != null && (tokenTime.isNegative() || tokenTime.isZero())) {
            throw new IllegalArgumentException("tokenTime must be above 0, found " + tokenTime);
        }
        if (clusterTime != null && (clusterTime.isNegative() || clusterTime.isZero())) {
            throw new IllegalArgumentException("clusterTime must be above 0, found " + clusterTime);
        }
        if (tenantQueueLimit < 1) {
            throw new IllegalArgumentException("tenantQueueLimit must be 1 or more, found " + tenantQueueLimit);
        }
    }

    public SchedulePolicy withFairness(Fairness value) {
        return new SchedulePolicy(value, outputPrice, maxWait, tenantQueueLimit, prefixCache, tokenTime, clusterTime);
    }

    public SchedulePolicy withMaxWait(Duration value) {
        return new SchedulePolicy(fairness, outputPrice, value, tenantQueueLimit, prefixCache, tokenTime, clusterTime);
    }

    public SchedulePolicy withTenantQueueLimit(int value) {
        return new SchedulePolicy(fairness, outputPrice, maxWait, value, prefixCache, tokenTime, clusterTime);
    }

    public SchedulePolicy withPrefixCache(PrefixSharing value) {
        return new SchedulePolicy(fairness, outputPrice, maxWait, tenantQueueLimit, value, tokenTime, clusterTime);
    }

    public SchedulePolicy withTokenTime(Duration value) {
        return new SchedulePolicy(fairness, outputPrice, maxWait, tenantQueueLimit, prefixCache, value, clusterTime);
    }

    public SchedulePolicy withClusterTime(Duration value) {
        return new SchedulePolicy(fairness, outputPrice, maxWait, tenantQueueLimit, prefixCache, tokenTime, value);
    }
}
