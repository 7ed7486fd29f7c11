package dev.polyphon.engine.pool;

import dev.polyphon.runtime.AdapterFailure;
import java.time.Duration;
import java.time.Instant;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ThreadLocalRandom;
import java.util.function.Supplier;

/** Remembers which versions could not be loaded, so that not every request tries again: after each failure in a row it takes twice as long, give or take. */
final class Failures {
    private static final Duration FIRST = Duration.ofSeconds(1);
    private static final Duration LONGEST = Duration.ofMinutes(5);

    /** @param stamp of the source then: when it changes, the failure says nothing any more */
    private record Failed(AdapterFailure failure, Object stamp) {}

    private final Map<Long, Failed> failures = new ConcurrentHashMap<>();

    void add(long version, String reason, Object stamp) {
        failures.compute(version, (key, before) -> {
            int attempts = before == null ? 1 : before.failure.attempts() + 1;
            long wait = Math.min(LONGEST.toMillis(), FIRST.toMillis() << Math.min(attempts - 1, 16));
            long jittered = wait * 3 / 4 + ThreadLocalRandom.current().nextLong(wait / 2 + 1);
            return new Failed(new AdapterFailure(reason, attempts, Instant.now().plusMillis(jittered)), stamp);
        });
    }

    void clear(long version) {
        failures.remove(version);
    }

    /** Why a version cannot be used, or null when it was not tried, or was with success. */
    AdapterFailure get(long version) {
        Failed failed = failures.get(version);
        return failed == null ? null : failed.failure;
    }

    /** The same, but null as well when it is time to try again. */
    AdapterFailure blocking(long version, Supplier<Object> stamp) {
        Failed failed = failures.get(version);
        return failed == null || Instant.now().isAfter(failed.failure.retryAt()) || !failed.stamp.equals(stamp.get()) ? null : failed.failure;
    }
}
