package dev.polyphon.engine.schedule;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.runtime.RuntimeFault.Kind;
import java.time.Duration;
import org.junit.jupiter.api.Test;

class IntakeTest {
    private long now;
    private final Intake intake = new Intake(10, 8, () -> now);

    private RuntimeFault refused(String tenant, int sequences) {
        return catchThrowableOfType(RuntimeFault.class, () -> intake.accept(tenant, sequences));
    }

    @Test
    void leavesRoomForOthers() {
        intake.accept("a", 8);
        assertThat(refused("a", 1)).hasMessageContaining("tenant a has 8").hasMessageContaining("at most 8").extracting(RuntimeFault::kind)
                .isEqualTo(Kind.OVERLOADED);
        intake.accept("b", 2);
        assertThat(refused("c", 1)).hasMessageContaining("10 sequences wait or run").extracting(RuntimeFault::kind).isEqualTo(Kind.OVERLOADED);
        intake.end("a", 8);
        assertThat(intake.accepted()).isEqualTo(2);
        intake.accept("a", 8);
    }

    @Test
    void refusesForGoodWhatCanNeverFit() {
        assertThat(refused("a", 9)).hasMessageContaining("at most 8").extracting(RuntimeFault::kind).isEqualTo(Kind.INVALID);
        assertThat(intake.accepted()).isZero();
    }

    @Test
    void saysWhenToTryAgainByHowFastItGoes() {
        assertThat(intake.retryAfter(5)).isEqualTo(Duration.ofSeconds(1));
        intake.accept("b", 1);
        for (int i = 0; i < 200; i++) {
            now += Duration.ofSeconds(2).toNanos();
            intake.accept("a", 1);
            intake.end("a", 1);
        }
        assertThat(intake.retryAfter(5)).as("one every 2 s").isBetween(Duration.ofSeconds(9), Duration.ofSeconds(11));
        assertThat(intake.retryAfter(1000)).isEqualTo(Duration.ofSeconds(60));
    }

    @Test
    void aBeginningAndARestAreNotTakenForSlowness() {
        intake.accept("a", 8);
        now += Duration.ofSeconds(2).toNanos();
        intake.end("a", 4);
        assertThat(intake.retryAfter(4)).as("four in the first 2 s").isBetween(Duration.ofMillis(1900), Duration.ofMillis(2100));
        intake.end("a", 4);
        now += Duration.ofHours(1).toNanos();
        intake.accept("a", 8);
        assertThat(intake.retryAfter(8)).as("eight in the last 2 s in which there was anything to do").isBetween(Duration.ofMillis(1900), Duration.ofMillis(2100));
        now += Duration.ofSeconds(20).toNanos();
        assertThat(intake.retryAfter(8)).as("eight in 22 s, of which the last weigh more").isBetween(Duration.ofSeconds(20), Duration.ofSeconds(40));
    }
}
