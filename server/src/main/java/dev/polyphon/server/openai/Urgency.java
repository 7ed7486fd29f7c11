package dev.polyphon.server.openai;

import dev.polyphon.runtime.Scheduling;
import java.time.Duration;

/**
 * Where a request wants to stand among those of its own tenant.
 *
 * @param priority from {@link Scheduling#LOWEST} to {@link Scheduling#HIGHEST}
 * @param maxWait longest time in the queue
 */
public record Urgency(int priority, Duration maxWait) {
    private static final double LONGEST = Duration.ofDays(1).toSeconds();

    /** Reads {@code priority}, which as in vLLM is the higher the lower the number, and {@code queue_timeout}, in seconds. */
    public static Urgency read(Fields fields) {
        int priority = -fields.integer("priority", 0, -Scheduling.HIGHEST, -Scheduling.LOWEST);
        double seconds = fields.decimal("queue_timeout", -1, 0.001, LONGEST);
        return new Urgency(priority, seconds < 0 ? Scheduling.NO_LIMIT : Duration.ofMillis((long) (1000 * seconds)));
    }

    /** A tenant's request. */
    Scheduling of(String tenant) {
        return Scheduling.of(tenant).withPriority(priority).withMaxWait(maxWait);
    }
}
