package dev.polyphon.server.http;

import java.nio.charset.StandardCharsets;
import java.util.Map;

/**
 * An answer that is whole from the start.
 *
 * @param headers further headers; the length, the date and those of the connection are set by the transport
 */
public record Response(int status, String contentType, byte[] body, Map<String, String> headers) {
    public static final String JSON = "application/json";
    public static final String TEXT = "text/plain; charset=utf-8";

    public Response {
        headers = Map.copyOf(headers);
    }

    public static Response json(int status, byte[] body) {
        return new Response(status, JSON, body, Map.of());
    }

    public static Response text(int status, String body) {
        return new Response(status, TEXT, body.getBytes(StandardCharsets.UTF_8), Map.of());
    }

    public Response withBody(byte[] other) {
        return new Response(status, contentType, other, headers);
    }

    public Response with(String header, String value) {
        var more = new java.util.HashMap<>(headers);
        more.put(header, value);
        return new Response(status, contentType, body, more);
    }
}
