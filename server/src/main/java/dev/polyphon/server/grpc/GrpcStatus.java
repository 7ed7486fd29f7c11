package dev.polyphon.server.grpc;

/** How a call ended; in the order of the codes, from 0. */
public enum GrpcStatus {
    OK,
    CANCELLED,
    UNKNOWN,
    INVALID_ARGUMENT,
    DEADLINE_EXCEEDED,
    NOT_FOUND,
    ALREADY_EXISTS,
    PERMISSION_DENIED,
    RESOURCE_EXHAUSTED,
    FAILED_PRECONDITION,
    ABORTED,
    OUT_OF_RANGE,
    UNIMPLEMENTED,
    INTERNAL,
    UNAVAILABLE,
    DATA_LOSS,
    UNAUTHENTICATED;

    /** What an error is that HTTP gives this status. */
    public static GrpcStatus ofHttp(int status) {
        return switch (status) {
            case 400, 415 -> INVALID_ARGUMENT;
            case 401 -> UNAUTHENTICATED;
            case 403 -> PERMISSION_DENIED;
            case 404 -> NOT_FOUND;
            case 408 -> DEADLINE_EXCEEDED;
            case 409 -> ALREADY_EXISTS;
            case 413, 429, 507 -> RESOURCE_EXHAUSTED;
            case 422 -> FAILED_PRECONDITION;
            case 501 -> UNIMPLEMENTED;
            case 503 -> UNAVAILABLE;
            default -> INTERNAL;
        };
    }
}
