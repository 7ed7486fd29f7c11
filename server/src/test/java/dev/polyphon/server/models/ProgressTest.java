package dev.polyphon.server.models;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class ProgressTest {
    private static final long MEBIBYTE = 1 << 20;

    @Test
    void showsShareRateAndTimeLeft() {
        assertThat(Progress.state(Progress.Unit.BYTES, 25 * MEBIBYTE, 100 * MEBIBYTE, 5 * MEBIBYTE)).isEqualTo(" 25%  25.0 of 100.0 MiB, 5.0 MiB/s, 15 s left");
        assertThat(Progress.state(Progress.Unit.BYTES, 0, 100 * MEBIBYTE, 0)).isEqualTo("  0%  0.0 of 100.0 MiB, 0.0 MiB/s");
        assertThat(Progress.state(Progress.Unit.BYTES, MEBIBYTE, 61 * MEBIBYTE, MEBIBYTE / 4.0)).endsWith(", 4 min left");
        assertThat(Progress.state(Progress.Unit.BYTES, MEBIBYTE, 10_000 * MEBIBYTE, MEBIBYTE)).endsWith(", 3 h left");
    }

    @Test
    void countsRequestsToo() {
        assertThat(Progress.state(Progress.Unit.REQUESTS, 30, 120, 1.5)).isEqualTo(" 25%  30 of 120 requests, 1.5/s, 60 s left");
    }

    @Test
    void promisesNothingWhenTheLengthIsNotKnown() {
        assertThat(Progress.state(Progress.Unit.BYTES, 3 * MEBIBYTE, 0, MEBIBYTE)).isEqualTo("3.0 MiB, 1.0 MiB/s");
        assertThat(Progress.state(Progress.Unit.BYTES, 3 * MEBIBYTE, 2 * MEBIBYTE, MEBIBYTE)).isEqualTo("3.0 MiB, 1.0 MiB/s");
    }
}
