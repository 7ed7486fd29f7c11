package dev.polyphon.server.http;

/** Answers requests. */
@FunctionalInterface
public interface Handler {

    /**
     * Called on the connection's event loop: work that waits or computes for long belongs elsewhere, and the exchange may be answered from any
     * thread, now or later. What is thrown here becomes a 500.
     */
    void handle(Exchange exchange);
}
