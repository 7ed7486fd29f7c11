package dev.polyphon.server.http;

import java.time.Duration;
import java.util.Set;

/**
 * Which pages' scripts may use the server.
 *
 * @param origins as browsers send them, {@code https://HOST} or {@code https://HOST:PORT}; {@code *} for all; empty for none
 * @param maxAge how long a browser may remember what it was told
 */
public record CorsSettings(Set<String> origins, Duration maxAge) {
    /** No page's. */
    public static final CorsSettings NONE = new CorsSettings(Set.of(), Duration.ZERO);

    public CorsSettings {
        origins = Set.copyOf(origins);
    }

    boolean allows(String origin) {
        return origins.contains("*") || origins.contains(origin);
    }
}
