package dev.polyphon.server.observe;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polyphon.server.http.Request;
import io.netty.handler.codec.http.DefaultHttpHeaders;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.SpanContext;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.NullSource;
import org.junit.jupiter.params.provider.ValueSource;

class TraceParentTest {
    private static final String TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";

    private static SpanContext caller(String header) {
        var headers = new DefaultHttpHeaders();
        if (header != null) {
            headers.set("Traceparent", header);
        }
        var request = new Request("r", "GET", "/", "/", Map.of(), headers, new byte[0], null, null, 0);
        return Span.fromContext(Traces.caller(request)).getSpanContext();
    }

    @Test
    void saysWhereACallStands() {
        assertThat(caller("00-" + TRACE + "-00f067aa0ba902b7-01")).satisfies(span -> {
            assertThat(span.getTraceId()).isEqualTo(TRACE);
            assertThat(span.getSpanId()).isEqualTo("00f067aa0ba902b7");
            assertThat(span.isSampled()).isTrue();
        });
        assertThat(caller("00-" + TRACE + "-00f067aa0ba902b7-00")).satisfies(span -> {
            assertThat(span.isValid()).isTrue();
            assertThat(span.isSampled()).isFalse();
        });
        assertThat(caller("cc-" + TRACE + "-00f067aa0ba902b7-01-what-comes-later").isValid()).as("a later version").isTrue();
    }

    @ParameterizedTest
    @NullSource
    @ValueSource(strings = {"", "00", "00-" + TRACE + "-00f067aa0ba902b7", "00-" + TRACE + "-00f067aa0ba902b7-01-more", "ff-" + TRACE + "-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01", "00-" + TRACE + "-0000000000000000-01", "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-" + TRACE + "-00f067aa0ba902b7-0x"})
    void whatIsNotValidIsNoTrace(String header) {
        assertThat(caller(header).isValid()).isFalse();
    }
}
