package dev.polyphon.server.openai;

import dev.polyphon.runtime.Scheduling;
import java.time.Duration;

/**
 * On what terms a request is served, among those of its own tenant.
 *
 * @param priority from {@link Scheduling#LOWEST} to {@link Scheduling#HIGHEST}
 * @param maxWait longest time in the queue
 * @param cached whether it may use prefixes that were computed before, and leave its own
 * @param cacheSalt those with the same share them, and no others; empty for all without
 */
public record Terms(int priority, Duration maxWait, boolean cached, String cacheSalt) {
    private static final double LONGEST = Duration.ofDays(1).toSeconds();
    private static final int LONGEST_SALT = 256;

    /**
     * Reads {@code priority}, which as in vLLM is the higher the lower the number, {@code cache_salt} as vLLM has it, {@code cache_prompt} as llama.cpp has it,
     * and {@code queue_timeout}, in seconds.
     */
    public static Terms read(Fields fields) {
        int priority = -fields.integer("priority", 0, -Scheduling.HIGHEST, -Scheduling.LOWEST);
        double seconds = fields.decimal("queue_timeout", -1, 0.001, LONGEST);
        return new Terms(priority, seconds < 0 ? Scheduling.NO_LIMIT : Duration.ofMillis((long) (1000 * seconds)),
                fields.flag("cache_prompt", true), salt(fields));
    }

    private static String salt(Fields fields) {
        String salt = fields.text("cache_salt");
        if (salt == null) {
            return "";
        }
        if (salt.isEmpty() || salt.length() > LONGEST_SALT) {
            throw ApiException.invalid("cache_salt", "invalid_value", "Invalid 'cache_salt': expected a string of 1 to " + LONGEST_SALT
                    + " characters, but got one of " + salt.length() + ".");
        }
        return salt;
    }

    /** For a tenant's request: a salt does not reach into what other tenants have. */
    Scheduling of(String tenant) {
        Scheduling scheduling = Scheduling.of(tenant).withPriority(priority).withMaxWait(maxWait);
        if (!cached) {
            return scheduling.withCacheScope(Scheduling.UNCACHED);
        }
        return cacheSalt.isEmpty() ? scheduling : scheduling.withCacheScope(tenant + "\n" + cacheSalt);
    }
}
