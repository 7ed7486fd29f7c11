package dev.polyphon.client;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.NullNode;
import com.fasterxml.jackson.databind.node.TextNode;
import java.net.http.HttpResponse;
import java.time.DateTimeException;
import java.time.Duration;
import java.time.Instant;
import java.time.format.DateTimeFormatter;
import java.util.Optional;

/**
 * An answer as it came.
 *
 * @param requestId the header {@code X-Request-Id}, which names the request in the server's logs; empty without it
 * @param retryAfter the header {@code Retry-After}: when it is worth trying again, if the server told
 * @param body a text where it is no JSON (a gateway's page, say), and null as JSON knows it where it is empty
 */
public record Reply(int status, String requestId, Optional<Duration> retryAfter, JsonNode body) {
    private static final ObjectMapper JSON = new ObjectMapper();

    static Reply of(HttpResponse<String> answer) {
        JsonNode body;
        try {
            body = answer.body().isBlank() ? NullNode.instance : JSON.readTree(answer.body());
        } catch (JsonProcessingException e) {
            body = TextNode.valueOf(answer.body());
        }
        return new Reply(answer.statusCode(), answer.headers().firstValue("X-Request-Id").orElse(""), retryAfter(answer), body);
    }

    /** RFC 9110, section 10.2.3: a number of seconds, or a date. */
    static Optional<Duration> retryAfter(HttpResponse<?> answer) {
        return answer.headers().firstValue("Retry-After").flatMap(value -> {
            if (value.matches("\\d{1,9}")) {
                return Optional.of(Duration.ofSeconds(Long.parseLong(value)));
            }
            try {
                Duration left = Duration.between(Instant.now(), DateTimeFormatter.RFC_1123_DATE_TIME.parse(value, Instant::from));
                return Optional.of(left.isNegative() ? Duration.ZERO : left);
            } catch (DateTimeException e) {
                return Optional.empty();
            }
        });
    }
}
