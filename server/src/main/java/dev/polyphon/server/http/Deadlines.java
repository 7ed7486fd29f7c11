package dev.polyphon.server.http;

import io.netty.util.concurrent.EventExecutor;
import io.netty.util.concurrent.Future;
import java.time.Duration;
import java.util.concurrent.TimeUnit;

/**
 * Two deadlines of a connection on one timer: for what is being read and for what is being written. Moving a deadline later, which happens
 * with every piece sent, touches no timer: it looks when it fires. Used on the event loop only.
 */
final class Deadlines {
    private static final long NEVER = Long.MAX_VALUE;

    private final EventExecutor loop;
    private final Runnable readOver;
    private final Runnable writeOver;
    private final long start = System.nanoTime();
    private long read = NEVER;
    private long write = NEVER;
    private long firesAt = NEVER;
    private Future<?> timer;

    Deadlines(EventExecutor loop, Runnable readOver, Runnable writeOver) {
        this.loop = loop;
        this.readOver = readOver;
        this.writeOver = writeOver;
    }

    void read(Duration limit) {
        read = now() + limit.toNanos();
        arm();
    }

    void readDone() {
        read = NEVER;
    }

    void write(Duration limit) {
        write = now() + limit.toNanos();
        arm();
    }

    void writeDone() {
        write = NEVER;
    }

    void cancel() {
        read = NEVER;
        write = NEVER;
        if (timer != null) {
            timer.cancel(false);
        }
    }

    private long now() {
        return System.nanoTime() - start;
    }

    private void arm() {
        long next = Math.min(read, write);
        if (next < firesAt) {
            if (timer != null) {
                timer.cancel(false);
            }
            firesAt = next;
            timer = loop.schedule(this::fire, next - now(), TimeUnit.NANOSECONDS);
        }
    }

    private void fire() {
        firesAt = NEVER;
        timer = null;
        long now = now();
        if (write <= now) {
            write = NEVER;
            writeOver.run();
        } else if (read <= now) {
            read = NEVER;
            readOver.run();
        }
        if (Math.min(read, write) != NEVER) {
            arm();
        }
    }
}
