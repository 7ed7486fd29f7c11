package dev.polyphon.server.tenant;

import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.time.LocalDate;
import java.time.ZoneOffset;

/**
 * Tokens of the current day, which begins at midnight UTC. A clock that is set back to an earlier day takes what was used along, so that it gives nothing
 * anew, and so that a clock that was ahead by mistake does not hold a tenant back until its day has come. May be used from any thread.
 */
final class DayBudget {
    private static final long MILLIS = Duration.ofDays(1).toMillis();

    private final InstantSource clock;
    /** In days since 1970. */
    private long day;
    private long used;

    DayBudget(InstantSource clock, long usedToday) {
        this.clock = clock;
        this.day = today();
        this.used = usedToday;
    }

    private long today() {
        return Math.floorDiv(clock.millis(), MILLIS);
    }

    private void turn() {
        long today = today();
        if (today > day) {
            used = 0;
        }
        day = today;
    }

    /** Takes tokens, unless that would go over the limit. */
    synchronized boolean take(long tokens, long limit) {
        turn();
        if (limit != Limits.NONE && used + Math.min(tokens, limit) > limit) {
            return false;
        }
        used += tokens;
        return true;
    }

    /** Takes, or with a negative number gives back, whatever the limit. */
    synchronized void correct(long tokens) {
        turn();
        used = Math.max(0, used + tokens);
    }

    synchronized long used() {
        turn();
        return used;
    }

    Duration untilTomorrow() {
        Instant now = clock.instant();
        return Duration.between(now, LocalDate.ofInstant(now, ZoneOffset.UTC).plusDays(1).atStartOfDay().toInstant(ZoneOffset.UTC));
    }
}
