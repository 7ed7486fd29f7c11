package dev.polyphon.server.http;

import java.time.Instant;
import java.util.Map;

/** Hears what happens on the connections, for metrics and the access log. Called on event loops, but for what is told of certificates: must not block. */
public interface HttpObserver {
    HttpObserver NONE = new HttpObserver() {};

    default void connectionOpened() {}

    default void connectionClosed() {}

    /** A connection over the limit was turned away. */
    default void connectionRefused() {}

    /** A client read so slowly that it was disconnected. */
    default void slowReader() {}

    /** A client took too long to send a request. */
    default void slowSender() {}

    /** A certificate is in use from now on. */
    default void certificate(Instant notAfter) {}

    /** The certificate's files were looked at, and cannot be used. */
    default void certificateRefused() {}

    /**
     * A request was read, or its header where the body is taken as it comes, and is about to be answered.
     *
     * @return what is wanted to be kept with it ({@link Request#context}); null for nothing
     */
    default Object arrived(Request request) {
        return null;
    }

    /**
     * A request got its answer, or its client left before.
     *
     * @param route the route's pattern; empty when there is none for the path
     * @param notes what handlers noted about it ({@link Exchange#note})
     * @param status as sent; 0 when the client left before there was one
     * @param bytes of the body sent
     * @param whole whether the answer was sent to its end
     */
    default void answered(Request request, String route, Map<String, Object> notes, int status, long bytes, long nanos, boolean whole) {}
}
