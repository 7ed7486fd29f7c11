package dev.polyphon.server.tenant;

/**
 * How much a tenant may have. {@link #NONE} is no limit.
 *
 * @param requestsPerMinute requests let in; a minute's worth may come at once
 * @param tokensPerMinute tokens of prompts and outputs together
 * @param tokensPerDay the same for a day, which begins at midnight UTC
 * @param concurrentRequests requests under way at once
 * @param connections connections open at once on which it has sent a request
 * @param adapters adapters it may own; 0 for a tenant that uses shared ones only
 * @param adapterBytes bytes that those may take: once they do, there may be no more of them
 */
public record Limits(long requestsPerMinute, long tokensPerMinute, long tokensPerDay, long concurrentRequests, long connections, long adapters, long adapterBytes) {
    public static final long NONE = -1;

    /** No limits, and no adapters of its own. */
    public static final Limits STANDARD = new Limits(NONE, NONE, NONE, NONE, NONE, 0, NONE);
}
