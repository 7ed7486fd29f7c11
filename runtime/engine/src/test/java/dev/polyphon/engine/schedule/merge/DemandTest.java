package dev.polyphon.engine.schedule.merge;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polyphon.engine.model.AdapterPlan.Segment;
import dev.polyphon.engine.model.AdapterWeights;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class DemandTest {
    private final AdapterWeights a = new AdapterWeights("a", 1, Map.of());
    private final AdapterWeights b = new AdapterWeights("b", 1, Map.of());
    private final AdapterWeights mergedB = new AdapterWeights("b", 1, Map.of());

    @Test
    void tellsStepsWithOthersFromStepsWithout() {
        Demand demand = new Demand();
        demand.count(4, List.of(new Segment(a, 0, 4)), 10);
        demand.count(2, List.of(new Segment(a, 0, 2)), 10);
        demand.count(10, List.of(new Segment(a, 1, 2), new Segment(a, 4, 1), new Segment(b, 5, 5)), 30);
        demand.count(8, List.of(new Segment(mergedB, 0, 8)), 20);
        demand.count(6, List.of(), 20);
        Demand.Window window = demand.take(form -> form == mergedB ? b : form);
        assertThat(window.nanos()).isEqualTo(90);
        assertThat(window.part(a)).isEqualTo(new Demand.Part(9 / 30.0, List.of(new Demand.Steps(2, 3, 3), new Demand.Steps(1, 10, 3))));
        assertThat(window.part(b)).isEqualTo(new Demand.Part(13 / 30.0, List.of(new Demand.Steps(1, 8, 8), new Demand.Steps(1, 10, 5))));
        assertThat(window.part(mergedB)).isEqualTo(Demand.Part.NONE);
        assertThat(demand.take(form -> form).parts()).isEmpty();
    }
}
