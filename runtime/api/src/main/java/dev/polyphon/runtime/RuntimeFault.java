package dev.polyphon.runtime;

import java.time.Duration;
import java.util.Optional;

/** Why a request, or an operation on adapters, could not be served; the message is meant for the one who asked. */
public final class RuntimeFault extends RuntimeException {
    private static final long serialVersionUID = 1;

    /** What kind of answer the front end gives. */
    public enum Kind {
        UNKNOWN_MODEL,
        UNKNOWN_ADAPTER,
        /** A field of the request is wrong; {@link #param()} names it. */
        INVALID,
        /** Prompt, or prompt and wanted output, exceed the context. */
        CONTEXT_EXCEEDED,
        /** Queues are full: try again after {@link #retryAfter()}. */
        OVERLOADED,
        /** Whoever asks has had what it may have for now: try again after {@link #retryAfter()}. */
        LIMITED,
        /** Whoever asks may not. */
        FORBIDDEN,
        /** The request waited in the queue for as long as it may: try again after {@link #retryAfter()}. */
        QUEUE_TIMEOUT,
        /** The adapter exists but cannot be loaded or does not fit the base; {@link #retryAfter()} says when that is tried again. */
        ADAPTER_UNUSABLE,
        /** A name that is already taken. */
        CONFLICT,
        /** The disk, or what adapters may take of it, is full. */
        NO_SPACE,
        /** This runtime cannot do that. */
        UNSUPPORTED,
        SHUTTING_DOWN,
        INTERNAL
    }

    private final Kind kind;
    private final String param;
    private final transient Duration retryAfter;

    private RuntimeFault(Kind kind, String param, String message, Duration retryAfter, Throwable cause) {
        super(message, cause);
        this.kind = kind;
        this.param = param;
        this.retryAfter = retryAfter;
    }

    public static RuntimeFault of(Kind kind, String message) {
        return new RuntimeFault(kind, null, message, null, null);
    }

    public static RuntimeFault of(Kind kind, String message, Throwable cause) {
        return new RuntimeFault(kind, null, message, null, cause);
    }

    public static RuntimeFault invalid(String param, String message) {
        return new RuntimeFault(Kind.INVALID, param, message, null, null);
    }

    public static RuntimeFault overloaded(String message, Duration retryAfter) {
        return new RuntimeFault(Kind.OVERLOADED, null, message, retryAfter, null);
    }

    public static RuntimeFault limited(String message, Duration retryAfter) {
        return new RuntimeFault(Kind.LIMITED, null, message, retryAfter, null);
    }

    public static RuntimeFault queueTimeout(String message, Duration retryAfter) {
        return new RuntimeFault(Kind.QUEUE_TIMEOUT, null, message, retryAfter, null);
    }

    public static RuntimeFault unusable(String message, Duration retryAfter, Throwable cause) {
        return new RuntimeFault(Kind.ADAPTER_UNUSABLE, null, message, retryAfter, cause);
    }

    public Kind kind() {
        return kind;
    }

    /** The field at fault, in the words of {@link GenerationRequest} and {@link Sampling}. */
    public Optional<String> param() {
        return Optional.ofNullable(param);
    }

    public Optional<Duration> retryAfter() {
        return Optional.ofNullable(retryAfter);
    }
}
