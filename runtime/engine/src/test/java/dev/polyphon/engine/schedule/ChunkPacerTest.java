package dev.polyphon.engine.schedule;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import java.util.Random;
import org.junit.jupiter.api.Test;

class ChunkPacerTest {
    private static final int ROOM = 512;
    private final ChunkPacer pacer = new ChunkPacer(Duration.ofMillis(100));

    /** Steps of a machine for which each costs so much, and each row; returns the time of the last in milliseconds. */
    private double run(int steps, double step, double row, double noise) {
        Random random = new Random(1);
        double millis = 0;
        for (int i = 0; i < steps; i++) {
            int rows = pacer.rows(ROOM);
            millis = (step + row * rows) * (1 + noise * random.nextGaussian());
            pacer.measured(rows, (long) (millis * 1e6));
        }
        return millis;
    }

    @Test
    void findsTheChunkThatTakesTheTimeThereIs() {
        assertThat(pacer.rows(ROOM)).as("knows nothing yet").isEqualTo(ROOM);
        assertThat(run(20, 30, 1, 0)).isBetween(90.0, 101.0);
        assertThat(pacer.rows(ROOM)).isBetween(60, 71);
        assertThat(run(20, 30, 0.5, 0)).as("a faster machine").isBetween(90.0, 101.0);
        assertThat(run(20, 60, 1, 0)).as("more that goes on").isBetween(90.0, 101.0);
        assertThat(run(200, 30, 1, 0.1)).as("noise").isBetween(60.0, 130.0);
    }

    @Test
    void promptsGoOnWhenTheGoalIsOutOfReach() {
        run(50, 150, 1, 0);
        assertThat(pacer.rows(ROOM)).isEqualTo(ChunkPacer.LEAST);
        assertThat(pacer.rows(7)).isEqualTo(7);
    }

    @Test
    void aSlowStepIsForgotten() {
        run(20, 30, 1, 0);
        pacer.measured(pacer.rows(ROOM), Duration.ofSeconds(20).toNanos());
        assertThat(pacer.rows(ROOM)).isBetween(30, 36);
        assertThat(run(10, 30, 1, 0)).isBetween(90.0, 101.0);
    }

    @Test
    void shortPromptsDoNotMakeItSmall() {
        run(20, 30, 0.5, 0);
        int before = pacer.rows(ROOM);
        pacer.measured(3, Duration.ofMillis(32).toNanos());
        assertThat(pacer.rows(ROOM)).isEqualTo(before);
    }

    @Test
    void withoutAGoalThereIsNoLimit() {
        ChunkPacer free = new ChunkPacer(null);
        free.measured(ROOM, Long.MAX_VALUE);
        assertThat(free.rows(ROOM)).isEqualTo(ROOM);
    }
}
