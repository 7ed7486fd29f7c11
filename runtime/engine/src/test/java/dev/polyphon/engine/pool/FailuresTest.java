package dev.polyphon.engine.pool;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;

class FailuresTest {
    /** Near where the measure of time turns over, which it may do at any time. */
    private final AtomicLong now = new AtomicLong(Long.MAX_VALUE - 5);
    private final Failures failures = new Failures(now::get);

    private void pass(Duration time) {
        now.addAndGet(time.toNanos());
    }

    @Test
    void waitsAreMeasuredAndGrow() {
        failures.add(1, "no", "stamp");
        assertThat(failures.blocking(1, () -> "stamp").reason()).isEqualTo("no");
        assertThat(failures.blocking(1, () -> "stamp").left()).isBetween(Duration.ofMillis(750), Duration.ofMillis(1250));
        assertThat(failures.blocking(1, () -> "another stamp")).as("the files have changed").isNull();
        pass(Duration.ofMillis(1251));
        assertThat(failures.blocking(1, () -> "stamp")).as("time to try again").isNull();
        assertThat(failures.get(1).attempts()).isEqualTo(1);
        for (int i = 0; i < 20; i++) {
            failures.add(1, "no", "stamp");
        }
        assertThat(failures.get(1).attempts()).isEqualTo(21);
        assertThat(failures.blocking(1, () -> "stamp").left()).isBetween(Duration.ofSeconds(225), Duration.ofSeconds(375));
        failures.clear(1);
        assertThat(failures.blocking(1, () -> "stamp")).isNull();
        assertThat(failures.get(1)).isNull();
    }
}
