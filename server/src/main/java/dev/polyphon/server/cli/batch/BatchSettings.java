package dev.polyphon.server.cli.batch;

import java.time.Duration;

/**
 * How a batch is worked off.
 *
 * @param concurrency requests under way at once
 * @param retries further tries of a request that the server cannot answer now; others' turns that it waits out are not counted
 * @param timeout longest wait for an answer
 * @param backoff wait before the first further try; it doubles with each
 * @param longestBackoff what it doubles up to
 * @param longestWait longest wait that the server may ask for; a request that is told to wait longer fails
 */
public record BatchSettings(int concurrency, int retries, Duration timeout, Duration backoff, Duration longestBackoff, Duration longestWait) {

    /** The wait before try {@code number} + 1, without its random part. */
    Duration backoff(int number) {
        Duration wait = backoff.multipliedBy(1L << Math.clamp(number - 1, 0, 30));
        return wait.compareTo(longestBackoff) < 0 ? wait : longestBackoff;
    }
}
