package dev.polyphon.server.openai;

/** Ends the handling of a request with an error; carries no stack trace, since it says nothing about this program. */
public final class ApiException extends RuntimeException {
    private static final long serialVersionUID = 1;

    private final transient ApiError error;

    public ApiException(ApiError error) {
        super(error.message(), null, false, false);
        this.error = error;
    }

    public static ApiException invalid(String param, String code, String message) {
        return new ApiException(ApiError.invalid(param, code, message));
    }

    public ApiError error() {
        return error;
    }
}
