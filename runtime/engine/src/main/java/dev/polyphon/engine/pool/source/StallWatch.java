package dev.polyphon.engine.pool.source;

import java.io.Closeable;
import java.io.IOException;
import java.time.Duration;
import java.util.concurrent.atomic.AtomicLong;

/**
 * Closes a stream that a blocked reader waits on once it has been too slow for too long: the client's own time limit ends with the header, and a byte now and
 * then would keep a transfer up for ever.
 */
final class StallWatch implements AutoCloseable {
    private final Thread thread;
    private final AtomicLong received = new AtomicLong();
    private volatile boolean fired;

    /** @param least bytes that must come in each such time; at least one must */
    StallWatch(Duration time, long least, Closeable stream) {
        thread = Thread.ofVirtual().name("stall-watch").start(() -> {
            try {
                do {
                    Thread.sleep(time);
                } while (received.getAndSet(0) >= Math.max(1, least));
                fired = true;
                stream.close();
            } catch (InterruptedException | IOException _) {
                // The transfer is over, or the reader learns of the failure itself.
            }
        });
    }

    void received(int bytes) {
        received.addAndGet(bytes);
    }

    boolean fired() {
        return fired;
    }

    @Override
    public void close() {
        thread.interrupt();
    }
}
