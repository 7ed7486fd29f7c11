package dev.polyphon.server.http;

/** Answers requests. */
@FunctionalInterface
public interface Handler {

    /**
     * Called on the connection's event loop: work that waits or computes for long belongs elsewhere, and the exchange may be answered from any
     * thread, now or later. What is thrown here becomes a 500.
     */
    void handle(Exchange exchange);

    /**
     * Whether a request's body is taken as it comes, from {@link Exchange#body()}: it is handled as soon as its header has been read, and no
     * limit but the handler's own holds for its body. Asked on the event loop, before the body has come.
     */
    default boolean streams(Request head) {
        return false;
    }

    /** Whether a body taken as it comes goes on while it is answered, for as long as the client likes, with pauses. */
    default boolean openEnded(Request head) {
        return false;
    }
}
