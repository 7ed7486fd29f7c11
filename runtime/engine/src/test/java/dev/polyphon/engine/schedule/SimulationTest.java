package dev.polyphon.engine.schedule;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polyphon.engine.schedule.Simulation.End;
import dev.polyphon.engine.schedule.Simulation.Fate;
import dev.polyphon.engine.schedule.Simulation.Outcome;
import dev.polyphon.engine.schedule.Simulation.Server;
import java.time.Duration;
import java.util.List;
import java.util.function.Predicate;
import org.junit.jupiter.api.Test;

/** What the scheduler does to tenants, by simulation; docs/scheduling.md shows more of it. */
class SimulationTest {
    private static final Server FAIR = new Server(new Simulation.Machine(8, 2, 0), new Scheduler.Limits(32, 128, 32), 1000, 10_000, SchedulePolicy.DEFAULT);
    private static final Server FIFO = FAIR.with(SchedulePolicy.DEFAULT.withFairness(Fairness.NONE));
    private static final List<Arrival> QUIET = new Trace.Load(5, 240, 40, 1.6, 1, 400, 1, 48).make();
    private static final List<Arrival> NOISY = new Trace.Load(5, 240, 40, 1.6, 100, 400, 1, 48).make();

    private static double first(Outcome outcome, double part, Predicate<String> tenants) {
        return Simulation.quantile(outcome.fates().stream().filter(f -> tenants.test(f.arrival().scheduling().tenant())).map(Fate::first).toList(), part);
    }

    @Test
    void aNoisyNeighbourHurtsItselfAlone() {
        Predicate<String> others = tenant -> !tenant.equals("t0");
        double alone = first(Simulation.run(FAIR, QUIET), 0.9, others);
        Outcome fair = Simulation.run(FAIR, NOISY);
        Outcome fifo = Simulation.run(FIFO, NOISY);
        assertThat(first(fair, 0.9, others)).as("seconds to the first token, beside %s without the neighbour", alone).isLessThan(alone + 3);
        assertThat(first(fifo, 0.9, others)).as("first come, first served").isGreaterThan(10 * first(fair, 0.9, others));
        assertThat(fair.seconds()).as("nothing is lost by it").isLessThan(1.03 * fifo.seconds());
        assertThat(fair.fates()).hasSize(NOISY.size()).allMatch(f -> f.end() == End.DONE);
    }

    @Test
    void isDeterministic() {
        assertThat(Simulation.run(FAIR, NOISY)).isEqualTo(Simulation.run(FAIR, NOISY));
    }

    @Test
    void endsWhatWaitsTooLongAndRefusesWhatOneTenantSendsTooMuch() {
        Server limited = new Server(FAIR.machine(), FAIR.limits(), FAIR.blocks(), 200,
                SchedulePolicy.DEFAULT.withMaxWait(Duration.ofSeconds(20)).withTenantQueueLimit(150));
        Outcome outcome = Simulation.run(limited, NOISY);
        assertThat(outcome.fates()).hasSize(NOISY.size());
        assertThat(outcome.fates().stream().filter(f -> f.end() != End.DONE)).isNotEmpty().allMatch(f -> f.arrival().scheduling().tenant().equals("t0"));
        assertThat(outcome.fates()).allMatch(f -> !(f.end() == End.EXPIRED) || f.total() >= 20 && f.total() < 21);
        assertThat(outcome.fates().stream().map(Fate::end)).contains(End.REFUSED, End.EXPIRED);
    }

    @Test
    void chunksKeepTheTimePerToken() {
        Duration goal = Duration.ofMillis(100);
        double free = Simulation.quantile(Simulation.run(FAIR, QUIET).gaps(), 0.99);
        double paced = Simulation.quantile(Simulation.run(FAIR.with(SchedulePolicy.DEFAULT.withTokenTime(goal)), QUIET).gaps(), 0.99);
        assertThat(free).isGreaterThan(0.2);
        assertThat(paced).isLessThan(0.13);
    }
}
