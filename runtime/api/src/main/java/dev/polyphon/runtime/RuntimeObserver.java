package dev.polyphon.runtime;

import java.time.Duration;

/** Hears what a runtime does, for metrics. */
public interface RuntimeObserver {

    /** A step was computed. */
    default void step(Step step) {}

    /** A step could not be computed at once; its sequences were tried in parts. */
    default void stepFailed() {}

    /** A sequence failed since it could not be computed, not even by itself. */
    default void sequenceFailed(String tenant) {}

    /** An adapter was loaded, or failed to. */
    default void adapterLoad(String adapter, Duration time, boolean success) {}

    /** An adapter's files on this machine's disk turned out to be damaged when they were read back. */
    default void adapterDamaged(String adapter) {}

    /** A request left the queue for the batch. */
    default void admitted(String tenant, Duration queued) {}

    /** A sequence was put back into the queue for want of KV blocks. */
    default void preempted(String tenant) {}

    /** A request waited in the queue for as long as it may, and failed. */
    default void expired(String tenant) {}

    /**
     * @param duration time of the whole step
     * @param sequences sequences that took part
     * @param adapters distinct adapters among them, the bare base not counted
     * @param decodeRows rows that continue a sequence
     * @param prefillRows rows of prompts
     */
    record Step(Duration duration, int sequences, int adapters, int decodeRows, int prefillRows) {}
}
