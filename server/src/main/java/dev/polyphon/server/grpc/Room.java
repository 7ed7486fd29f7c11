package dev.polyphon.server.grpc;

import java.io.InterruptedIOException;

/** Where a call's thread waits for its client to take what was sent. */
final class Room {
    private boolean open = true;
    private boolean over;

    synchronized void close() {
        open = false;
    }

    synchronized void open() {
        open = true;
        notifyAll();
    }

    /** Nobody waits here any more. */
    synchronized void end() {
        over = true;
        notifyAll();
    }

    synchronized void await() throws InterruptedIOException {
        try {
            while (!open && !over) {
                wait();
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new InterruptedIOException("interrupted while waiting for the client");
        }
    }
}
