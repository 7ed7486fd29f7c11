package dev.polyphon.engine.model;

import dev.polyphon.engine.backend.Weight;

/** What an adapter does at a site to the rows that use it. */
public sealed interface Form {

    /** Size on the device. */
    long bytes();

    /**
     * y += scale · B (A x), after the module's own product (LoRA, Hu et al. 2021).
     *
     * @param a [rank, in]
     * @param b [out, rank]
     */
    record LowRankDelta(Weight a, Weight b, float scale) implements Form {
        @Override
        public long bytes() {
            return a.bytes() + b.bytes();
        }
    }
}
