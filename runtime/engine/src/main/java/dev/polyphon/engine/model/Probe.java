package dev.polyphon.engine.model;

import dev.polyphon.engine.backend.Tensor;
import dev.polyphon.engine.backend.Weight;

/** Sees what adapters' neurons read while a {@link Decoder} runs: for comparing adapters, not for serving, since a device has to finish what it does for it. */
@FunctionalInterface
public interface Probe {

    /**
     * Called before they are computed, on the thread that runs the step.
     *
     * @param down of a {@link Form.LowRankDelta} its A, of a {@link Form.Bottleneck} its D: [neurons, in]
     * @param v what it is multiplied with, rows of {@code in} columns; to be read at once
     * @param first of the rows that use it
     * @param rows how many
     */
    void reads(Weight down, Tensor v, int first, int rows);
}
