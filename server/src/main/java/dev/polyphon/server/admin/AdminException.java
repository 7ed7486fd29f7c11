package dev.polyphon.server.admin;

import dev.polyphon.server.openai.ApiError;

/** Ends the handling of a request with an error; carries no stack trace, since it says nothing about this program. */
final class AdminException extends RuntimeException {
    private static final long serialVersionUID = 1;

    private final transient ApiError error;

    AdminException(int status, String param, String code, String message) {
        super(message, null, false, false);
        error = new ApiError(status, message, "invalid_request_error", param, code, null);
    }

    static AdminException invalid(String param, String message) {
        return new AdminException(400, param, "invalid_value", message);
    }

    ApiError error() {
        return error;
    }
}
