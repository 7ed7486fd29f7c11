package dev.polyphon.engine.pool.source;

import java.io.Closeable;
import java.io.IOException;
import java.time.Duration;

/** Closes a stream that a blocked reader waits on once nothing has come for too long: the client's own time limit ends with the header. */
final class StallWatch implements AutoCloseable {
    private final Thread thread;
    private volatile long touched = System.nanoTime();
    private volatile boolean fired;

    StallWatch(Duration limit, Closeable stream) {
        thread = Thread.ofVirtual().name("stall-watch").start(() -> {
            try {
                for (long left = limit.toNanos(); left > 0; left = limit.toNanos() - (System.nanoTime() - touched)) {
                    Thread.sleep(Duration.ofNanos(left));
                }
                fired = true;
                stream.close();
            } catch (InterruptedException | IOException _) {
                // The transfer is over, or the reader learns of the failure itself.
            }
        });
    }

    void touch() {
        touched = System.nanoTime();
    }

    boolean fired() {
        return fired;
    }

    @Override
    public void close() {
        thread.interrupt();
    }
}
