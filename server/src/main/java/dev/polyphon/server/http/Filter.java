package dev.polyphon.server.http;

/** Stands before the handlers of a router: lets a request through, or answers it. */
@FunctionalInterface
public interface Filter {
    Filter NONE = (_, next) -> next.run();

    /**
     * Called on the connection's event loop for every request that has a handler, once {@link Exchange#route()} is known.
     *
     * @param next goes on to the handler; to be run once, on the event loop, now or later ({@link Exchange#execute}); not at all when the
     *     exchange was answered here
     */
    void handle(Exchange exchange, Runnable next);
}
