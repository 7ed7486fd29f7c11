package dev.polyphon.server.tenant;

import io.github.bucket4j.Bucket;
import io.github.bucket4j.TimeMeter;
import java.time.Duration;

/** So many of something a minute, which come back evenly; a minute's worth may be taken at once. May be used from any thread. */
final class Rate {
    /** The fastest that a bucket measures: one a nanosecond. */
    private static final long FASTEST = Duration.ofMinutes(1).toNanos();

    private final long perMinute;
    private final Bucket bucket;

    Rate(long perMinute, TimeMeter clock) {
        this.perMinute = perMinute;
        this.bucket = perMinute <= 0 ? null : Bucket.builder().addLimit(limit -> limit.capacity(perMinute).refillGreedy(Math.min(perMinute, FASTEST), Duration.ofMinutes(1)))
                .withCustomTimePrecision(clock).build();
    }

    boolean limited() {
        return perMinute != Limits.NONE;
    }

    long perMinute() {
        return perMinute;
    }

    /** Takes an amount, at most a minute's worth; gives how long to wait when it is not there, else null. */
    Duration take(long amount) {
        if (!limited() || amount == 0) {
            return null;
        }
        if (bucket == null) {
            return Duration.ofMinutes(1);
        }
        long taken = capped(amount);
        return bucket.tryConsume(taken) ? null : Duration.ofNanos(bucket.estimateAbilityToConsume(taken).getNanosToWaitForRefill());
    }

    /** What {@link #take} takes of an amount: one that is more than a minute's worth waits for a full minute's and not for ever. */
    long capped(long amount) {
        return limited() ? Math.min(amount, perMinute) : amount;
    }

    /** Takes more, into debt if need be, or with a negative amount gives back. */
    void correct(long amount) {
        if (bucket == null) {
            return;
        }
        if (amount > 0) {
            bucket.consumeIgnoringRateLimits(amount);
        } else if (amount < 0) {
            bucket.addTokens(-amount);
        }
    }

    /** What is left, negative in debt. */
    long balance() {
        return bucket == null ? 0 : bucket.getAvailableTokens();
    }

    /** Time until nothing is missing, with so much left now. */
    Duration untilFull(long balance) {
        return bucket == null ? Duration.ZERO : Duration.ofNanos((long) ((perMinute - balance) * 60e9 / perMinute));
    }
}
