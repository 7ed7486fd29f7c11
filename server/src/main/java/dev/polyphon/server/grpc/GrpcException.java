package dev.polyphon.server.grpc;

import java.time.Duration;

/** Ends a call with a status; carries no stack trace, since it says nothing about this program. */
public final class GrpcException extends RuntimeException {
    private static final long serialVersionUID = 1;

    private final GrpcStatus status;
    private final transient Duration retryAfter;

    public GrpcException(GrpcStatus status, String message) {
        this(status, message, null);
    }

    /** @param retryAfter when to try again, or null */
    public GrpcException(GrpcStatus status, String message, Duration retryAfter) {
        super(message, null, false, false);
        this.status = status;
        this.retryAfter = retryAfter;
    }

    GrpcStatus status() {
        return status;
    }

    Duration retryAfter() {
        return retryAfter;
    }
}
