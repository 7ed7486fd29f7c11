package dev.polyphon.runtime;

import java.time.Instant;

/**
 * Why an adapter could not be used when it was last tried.
 *
 * @param reason for whoever owns the adapter
 * @param attempts how often in a row it failed
 * @param retryAt requests before then are refused with this reason; the first one after it tries again
 */
public record AdapterFailure(String reason, int attempts, Instant retryAt) {}
