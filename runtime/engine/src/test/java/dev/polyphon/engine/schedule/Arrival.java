package dev.polyphon.engine.schedule;

import dev.polyphon.runtime.Scheduling;

/**
 * A request of a trace.
 *
 * @param time nanoseconds from the trace's beginning
 * @param adapter its number; -1 for none
 * @param output tokens it generates
 */
public record Arrival(long time, Scheduling scheduling, int adapter, int[] prompt, int output) {
    static final long SECOND = 1_000_000_000L;
}
