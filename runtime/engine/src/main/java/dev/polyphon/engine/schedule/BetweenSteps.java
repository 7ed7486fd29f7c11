package dev.polyphon.engine.schedule;

import dev.polyphon.engine.model.AdapterPlan.Segment;
import dev.polyphon.engine.model.Decoder;
import java.util.List;

/** Hears of each step on the step loop's thread, before the next one; what it does there should take a small part of a step's time. */
@FunctionalInterface
public interface BetweenSteps {
    BetweenSteps NOTHING = (_, _, _, _) -> {};

    /**
     * @param decoder may be used until this returns
     * @param rows of the step that was computed
     * @param segments which of them used which adapter
     * @param nanos time of the whole step
     */
    void after(Decoder decoder, int rows, List<Segment> segments, long nanos);
}
