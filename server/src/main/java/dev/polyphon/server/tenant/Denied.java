package dev.polyphon.server.tenant;

import java.time.Duration;

/** A request is refused for who sent it or how much that one has had. Carries no stack trace: it says nothing about this program. */
public final class Denied extends RuntimeException {
    private static final long serialVersionUID = 1;

    /** Why, for each protocol to put in its own words. */
    public enum Reason {
        /** Nothing says who asks. */
        NO_KEY,
        /** What says so is not valid, or no longer. */
        BAD_KEY,
        /** Who asks is known, and may not. */
        FORBIDDEN,
        /** It cannot be found out at the moment. */
        UNAVAILABLE,
        REQUESTS_PER_MINUTE,
        TOKENS_PER_MINUTE,
        TOKENS_PER_DAY,
        CONCURRENT_REQUESTS,
        /** The connection on which the request came is one too many, and closed. */
        CONNECTIONS
    }

    private final Reason reason;
    private final transient Duration retryAfter;

    Denied(Reason reason, String message) {
        this(reason, message, null);
    }

    Denied(Reason reason, String message, Duration retryAfter) {
        super(message, null, false, false);
        this.reason = reason;
        this.retryAfter = retryAfter;
    }

    public Reason reason() {
        return reason;
    }

    /** When to try again; null when that does not help. */
    public Duration retryAfter() {
        return retryAfter;
    }
}
