package dev.polyphon.server.cli.batch;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class TriesTest {
    @Test
    void countsFailures() {
        var tries = new Tries(2, 5);
        assertThat(tries.failed(false, 6)).isTrue();
        assertThat(tries.failed(false, 7)).isTrue();
        assertThat(tries.failed(false, 8)).isFalse();
    }

    @Test
    void othersTurnsAreNoFailures() {
        var tries = new Tries(2, 5);
        for (long answered = 6; answered < 100; answered++) {
            assertThat(tries.failed(true, answered)).isTrue();
        }
        assertThat(tries.failures()).isZero();
        assertThat(tries.failed(true, 99)).as("nobody was answered since").isTrue();
        assertThat(tries.failed(true, 99)).isTrue();
        assertThat(tries.failed(true, 99)).isFalse();
    }
}
