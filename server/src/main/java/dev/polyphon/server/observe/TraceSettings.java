package dev.polyphon.server.observe;

import java.net.URI;
import java.time.Duration;
import java.util.Map;

/**
 * Where traces go.
 *
 * @param endpoint takes spans by OTLP over HTTP, at its path {@code /v1/traces}; null for no traces
 * @param headers sent along
 * @param sample per cent of the traces that begin here which are recorded
 * @param service what this server is called in them
 * @param queue spans that may wait to be sent
 * @param timeout of a try to send some
 */
public record TraceSettings(URI endpoint, Map<String, String> headers, int sample, String service, int queue, Duration timeout) {

    /** Without secrets. */
    @Override
    public String toString() {
        return "traces to " + endpoint;
    }
}
