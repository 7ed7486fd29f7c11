package dev.polyphon.engine.pool;

import dev.polyphon.runtime.AdapterFailure;
import java.time.Duration;
import java.time.Instant;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ThreadLocalRandom;
import java.util.function.LongSupplier;
import java.util.function.Supplier;

/**
 * Remembers which versions could not be loaded, so that not every request tries again: after each failure in a row it takes twice as long, give or take.
 * Waits are measured, so that a clock that is set makes none longer or shorter.
 */
final class Failures {
    private static final Duration FIRST = Duration.ofSeconds(1);
    private static final Duration LONGEST = Duration.ofMinutes(5);

    /**
     * @param until of the time that is measured
     * @param stamp of the source then: when it changes, the failure says nothing any more
     */
    private record Failed(String reason, int attempts, long until, Object stamp) {}

    /** Why a version is not tried now, and for how long. */
    record Blocked(String reason, Duration left) {}

    private final Map<Long, Failed> failures = new ConcurrentHashMap<>();
    private final LongSupplier nanos;

    Failures() {
        this(System::nanoTime);
    }

    /** @param nanos measures time as {@link System#nanoTime} does */
    Failures(LongSupplier nanos) {
        this.nanos = nanos;
    }

    void add(long version, String reason, Object stamp) {
        failures.compute(version, (key, before) -> {
            int attempts = before == null ? 1 : before.attempts + 1;
            long wait = Math.min(LONGEST.toMillis(), FIRST.toMillis() << Math.min(attempts - 1, 16));
            long jittered = wait * 3 / 4 + ThreadLocalRandom.current().nextLong(wait / 2 + 1);
            return new Failed(reason, attempts, nanos.getAsLong() + Duration.ofMillis(jittered).toNanos(), stamp);
        });
    }

    void clear(long version) {
        failures.remove(version);
    }

    /** Why a version cannot be used, or null when it was not tried, or was with success. */
    AdapterFailure get(long version) {
        Failed failed = failures.get(version);
        return failed == null ? null : new AdapterFailure(failed.reason, failed.attempts, Instant.now().plus(left(failed)));
    }

    private Duration left(Failed failed) {
        return Duration.ofNanos(failed.until - nanos.getAsLong());
    }

    /** What keeps a version from being tried now; null when nothing does. */
    Blocked blocking(long version, Supplier<Object> stamp) {
        Failed failed = failures.get(version);
        if (failed == null || left(failed).isNegative() || !failed.stamp.equals(stamp.get())) {
            return null;
        }
        return new Blocked(failed.reason, left(failed));
    }
}
