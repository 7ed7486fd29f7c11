package dev.polyphon.server.http;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.NullSource;
import org.junit.jupiter.params.provider.ValueSource;

class TraceContextTest {
    private static final String TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";

    @Test
    void saysWhereACallStands() {
        assertThat(TraceContext.parse("00-" + TRACE + "-00f067aa0ba902b7-01")).isEqualTo(new TraceContext(TRACE, "00f067aa0ba902b7", true));
        assertThat(TraceContext.parse(" 00-" + TRACE + "-00f067aa0ba902b7-00 ").sampled()).isFalse();
        assertThat(TraceContext.parse("cc-" + TRACE + "-00f067aa0ba902b7-01-what-comes-later")).as("a later version").isNotNull();
    }

    @ParameterizedTest
    @NullSource
    @ValueSource(strings = {"", "00", "00-" + TRACE + "-00f067aa0ba902b7", "00-" + TRACE + "-00f067aa0ba902b7-01-more", "ff-" + TRACE + "-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01", "00-" + TRACE + "-0000000000000000-01", "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-" + TRACE + "-00f067aa0ba902b7-0x"})
    void whatIsNotValidIsNoTrace(String header) {
        assertThat(TraceContext.parse(header)).isNull();
    }
}
