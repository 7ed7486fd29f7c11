package dev.polyphon.client;

import java.io.IOException;
import java.time.Duration;
import java.util.Optional;

/** The server refused a request, or failed at it; the message is the server's. */
public final class PolyphonException extends IOException {
    private static final long serialVersionUID = 1;

    private final int status;
    private final String code;
    private final transient Duration retryAfter;

    PolyphonException(int status, String code, String message, Duration retryAfter) {
        super(message);
        this.status = status;
        this.code = code;
        this.retryAfter = retryAfter;
    }

    /** The HTTP status; 200 when a stream failed after it had begun. */
    public int status() {
        return status;
    }

    /** The API's word for what is wrong, for example {@code model_not_found}. */
    public Optional<String> code() {
        return Optional.ofNullable(code);
    }

    /** When it is worth trying again, if the server told. */
    public Optional<Duration> retryAfter() {
        return Optional.ofNullable(retryAfter);
    }
}
