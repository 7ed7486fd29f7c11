package dev.polyphon.server.openai;

import com.fasterxml.jackson.core.JsonGenerator;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.server.http.Response;
import dev.polyphon.server.tenant.Denied;
import java.io.IOException;
import java.time.Duration;

/**
 * An error in OpenAI's form.
 *
 * @param status of HTTP
 * @param message for the one who sent the request
 * @param type kind of error, for example {@code invalid_request_error}
 * @param param the field at fault, or null
 * @param code a word for programs, or null
 * @param retryAfter when to try again, or null
 */
public record ApiError(int status, String message, String type, String param, String code, Duration retryAfter) {
    static final String INVALID = "invalid_request_error";

    static ApiError invalid(String param, String code, String message) {
        return new ApiError(400, message, INVALID, param, code, null);
    }

    static ApiError of(int status, String type, String code, String message) {
        return new ApiError(status, message, type, null, code, null);
    }

    /** For what the transport finds: the type and code follow from the status. */
    public static ApiError transport(int status, String message) {
        String code = switch (status) {
            case 404 -> "unknown_url";
            case 405 -> "method_not_allowed";
            case 408 -> "request_timeout";
            case 413 -> "request_too_large";
            case 431, 414 -> "header_too_large";
            case 503 -> "unavailable";
            case 507 -> "insufficient_storage";
            default -> null;
        };
        return of(status, status >= 500 ? "server_error" : INVALID, code, message);
    }

    public static ApiError of(RuntimeFault fault) {
        String message = fault.getMessage();
        String param = fault.param().orElse(null);
        return switch (fault.kind()) {
            case UNKNOWN_MODEL -> new ApiError(404, message, INVALID, "model", "model_not_found", null);
            case UNKNOWN_ADAPTER -> new ApiError(404, message, INVALID, "model", "adapter_not_found", null);
            case INVALID -> new ApiError(400, message, INVALID, param, "invalid_value", null);
            case CONTEXT_EXCEEDED -> new ApiError(400, message, INVALID, param, "context_length_exceeded", null);
            case OVERLOADED ->
                new ApiError(429, message, "rate_limit_error", null, "overloaded", fault.retryAfter().orElse(Duration.ofSeconds(1)));
            case LIMITED -> new ApiError(429, message, "tokens", null, "rate_limit_exceeded", fault.retryAfter().orElse(null));
            case FORBIDDEN -> new ApiError(403, message, INVALID, param, "forbidden", null);
            case QUEUE_TIMEOUT ->
                new ApiError(503, message, "server_error", null, "queue_timeout", fault.retryAfter().orElse(Duration.ofSeconds(1)));
            case ADAPTER_UNUSABLE -> new ApiError(422, message, INVALID, "model", "adapter_unusable", fault.retryAfter().orElse(null));
            case CONFLICT -> new ApiError(409, message, INVALID, param, "conflict", null);
            case NO_SPACE -> new ApiError(507, message, "server_error", null, "insufficient_storage", null);
            case UNSUPPORTED -> new ApiError(501, message, INVALID, param, "unsupported", null);
            case SHUTTING_DOWN -> new ApiError(503, message, "server_error", null, "shutting_down", fault.retryAfter().orElse(Duration.ofSeconds(1)));
            case INTERNAL -> new ApiError(500, message, "server_error", null, "internal_error", null);
        };
    }

    /** For a request that was refused for who sent it, or how much that one has had. */
    public static ApiError of(Denied denied) {
        String message = denied.getMessage();
        return switch (denied.reason()) {
            case NO_KEY, BAD_KEY -> new ApiError(401, message, INVALID, null, "invalid_api_key", null);
            case FORBIDDEN -> new ApiError(403, message, INVALID, null, "forbidden", null);
            case UNAVAILABLE -> new ApiError(503, message, "server_error", null, "unavailable", denied.retryAfter());
            case REQUESTS_PER_MINUTE, CONCURRENT_REQUESTS, CONNECTIONS -> new ApiError(429, message, "requests", null, "rate_limit_exceeded", denied.retryAfter());
            case TOKENS_PER_MINUTE, TOKENS_PER_DAY -> new ApiError(429, message, "tokens", null, "rate_limit_exceeded", denied.retryAfter());
        };
    }

    /** The same, of another field. */
    ApiError at(String field) {
        return new ApiError(status, message, type, field, code, retryAfter);
    }

    public Response response() {
        Response response = Response.json(status, Json.bytes(this::write));
        if (status == 401) {
            // RFC 9110, section 11.6.1.
            response = response.with("WWW-Authenticate", "Bearer");
        }
        return retryAfter == null ? response : response.with("Retry-After", Long.toString(Math.max(1, (retryAfter.toMillis() + 999) / 1000)));
    }

    void write(JsonGenerator json) throws IOException {
        json.writeStartObject();
        json.writeObjectFieldStart("error");
        json.writeStringField("message", message);
        json.writeStringField("type", type);
        json.writeStringField("param", param);
        json.writeStringField("code", code);
        json.writeEndObject();
        json.writeEndObject();
    }
}
