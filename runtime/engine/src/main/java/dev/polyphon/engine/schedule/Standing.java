package dev.polyphon.engine.schedule;

import dev.polyphon.runtime.Scheduling;
import java.time.Duration;
import java.util.concurrent.TimeUnit;

/**
 * Where a sequence stands among others. Times are nanoseconds of the step loop's clock, which starts at 0.
 *
 * <p>A client's sequences go by their turns. The turn is set when a request arrives and never changes: a fixed time after its arrival or, when its queueing
 * is limited to less, the end of that, earlier by {@link #LEVEL} for each level of priority. So whatever the priorities and deadlines, a sequence is
 * overtaken only by those that arrive within a bounded time, and none waits for ever.
 *
 * @param tenant whose it is
 * @param client whom its service is counted to; see {@link Fairness}
 * @param share the client's weight
 * @param turn when it is due
 * @param deadline when it fails if it has not begun; {@link Long#MAX_VALUE} for never
 * @param scope those of the same scope use each other's computed prefixes; null for one that uses none and leaves none
 */
record Standing(String tenant, String client, double share, long turn, long deadline, String scope) {
    /** What a level of priority is worth. */
    static final long LEVEL = Duration.ofSeconds(5).toNanos();
    /** Deadlines later than that after the arrival make no difference to the turn. */
    static final long PATIENCE = Duration.ofSeconds(60).toNanos();

    static final Standing DEFAULT = new Standing("", "", 1, 0, Long.MAX_VALUE, null);

    /** @param arrived when the request arrived */
    static Standing of(Scheduling scheduling, String client, String scope, long arrived) {
        long limit = TimeUnit.NANOSECONDS.convert(scheduling.maxWait());
        long turn = arrived + Math.min(limit, PATIENCE) - scheduling.priority() * LEVEL;
        return new Standing(scheduling.tenant(), client, scheduling.share(), turn, limit > Long.MAX_VALUE - arrived ? Long.MAX_VALUE : arrived + limit, scope);
    }
}
