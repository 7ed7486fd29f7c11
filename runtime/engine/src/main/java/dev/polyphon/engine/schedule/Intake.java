package dev.polyphon.engine.schedule;

import dev.polyphon.runtime.RuntimeFault;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.function.LongSupplier;

/** Counts the sequences that are accepted and not yet finished, in all and by tenant, and refuses more than may be. Thread-safe. */
public final class Intake {
    private static final Duration SOONEST = Duration.ofSeconds(1);
    private static final Duration LATEST = Duration.ofSeconds(60);
    /** Over how long, in seconds, the rate of endings is taken. */
    private static final double MEMORY = 30;

    private final int limit;
    private final int tenantLimit;
    private final LongSupplier clock;
    private final Map<String, Integer> byTenant = new HashMap<>();
    private int accepted;
    /** Endings, each weighing less the longer ago; only time counts in which there was something to end. */
    private double endings;
    /** That time in seconds, weighing as the endings in it do: at most {@link #MEMORY}. */
    private double busy;
    private long countedAt;

    /**
     * @param limit most sequences in all
     * @param tenantLimit most of one tenant
     * @param clock in nanoseconds
     */
    public Intake(int limit, int tenantLimit, LongSupplier clock) {
        this.limit = limit;
        this.tenantLimit = Math.min(limit, tenantLimit);
        this.clock = clock;
        countedAt = clock.getAsLong();
    }

    /** @throws RuntimeFault when there is no room for so many more; then nothing is counted */
    public synchronized void accept(String tenant, int sequences) {
        if (sequences > tenantLimit) {
            throw RuntimeFault.invalid("choices", "a request may have at most " + tenantLimit + " sequences here, found " + sequences);
        }
        int ofTenant = byTenant.getOrDefault(tenant, 0);
        if (ofTenant + sequences > tenantLimit) {
            throw RuntimeFault.overloaded("tenant " + tenant + " has " + ofTenant + " sequences waiting and running, and may have at most " + tenantLimit,
                    retryAfter(ofTenant + sequences - tenantLimit));
        }
        if (accepted + sequences > limit) {
            throw RuntimeFault.overloaded("the queue is full: " + accepted + " sequences wait or run, at most " + limit,
                    retryAfter(accepted + sequences - limit));
        }
        pass();
        accepted += sequences;
        byTenant.put(tenant, ofTenant + sequences);
    }

    /** So many have ended, in whatever way. */
    public synchronized void end(String tenant, int sequences) {
        pass();
        accepted -= sequences;
        byTenant.computeIfPresent(tenant, (name, count) -> count == sequences ? null : Integer.valueOf(count - sequences));
        endings += sequences;
    }

    public synchronized int accepted() {
        return accepted;
    }

    /** About when so many more will have ended, going by the last while. */
    public synchronized Duration retryAfter(int sequences) {
        pass();
        double seconds = endings > 0 ? sequences * busy / endings : 0;
        return Duration.ofMillis((long) (1000 * Math.clamp(seconds, SOONEST.toSeconds(), LATEST.toSeconds())));
    }

    /** Lets the time pass since this was called last. */
    private void pass() {
        long now = clock.getAsLong();
        if (accepted > 0) {
            double left = Math.exp((countedAt - now) / (1e9 * MEMORY));
            endings *= left;
            busy = MEMORY - (MEMORY - busy) * left;
        }
        countedAt = now;
    }
}
