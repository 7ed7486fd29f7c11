package dev.polyphon.server.openai;

import java.time.Duration;
import java.time.Instant;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicLong;

/** Whether new requests for tokens or embeddings are taken, and how many are under way, in all protocols. Thread-safe. */
public final class Admission {
    private final AtomicLong underWay = new AtomicLong();
    /** Null while requests are taken. */
    private volatile Closed closed;

    /**
     * No new requests are taken.
     *
     * @param since when that began
     * @param retryAfter when those are told to try again that are refused
     */
    public record Closed(Instant since, Duration retryAfter) {}

    /**
     * Counts a request in; {@link #leave} must follow.
     *
     * @throws ApiException when none is taken
     */
    void enter() {
        // Counted first: whoever finds nothing under way after it was closed can rely on it.
        underWay.incrementAndGet();
        Closed now = closed;
        if (now != null) {
            underWay.decrementAndGet();
            throw new ApiException(new ApiError(503, "The server is being drained, and takes no new requests.", "server_error", null, "draining", now.retryAfter));
        }
    }

    void leave() {
        underWay.decrementAndGet();
    }

    /** Takes no more requests; those under way go on. Of one that is closed, only the time to try again changes. */
    public synchronized void close(Duration retryAfter) {
        closed = new Closed(closed == null ? Instant.now() : closed.since, retryAfter);
    }

    /** Takes requests again. */
    public synchronized void open() {
        closed = null;
    }

    public Optional<Closed> closed() {
        return Optional.ofNullable(closed);
    }

    public boolean isOpen() {
        return closed == null;
    }

    /** Requests that have not ended. */
    public long underWay() {
        return underWay.get();
    }
}
