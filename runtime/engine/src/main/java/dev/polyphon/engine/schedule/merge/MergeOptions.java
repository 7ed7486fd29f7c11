package dev.polyphon.engine.schedule.merge;

import dev.polyphon.engine.merge.Precision;
import dev.polyphon.runtime.MergeMode;
import java.time.Duration;

/**
 * How adapters are merged into copies of the base's weights.
 *
 * @param mode what is merged without being asked for
 * @param bytes that copies may take together
 * @param precision of the copies
 * @param load part of one core that making a copy takes at most while requests are served, above 0 and up to 1
 * @param share of a window's rows that an adapter must have to be considered, from 0 to 1
 * @param gain part of the steps' time that merging must save, from 0 to 1
 * @param window time over which demand is counted
 */
public record MergeOptions(MergeMode mode, long bytes, Precision precision, double load, double share, double gain, Duration window) {
    public static final MergeOptions DEFAULT = new MergeOptions(MergeMode.NEVER, 1L << 30, Precision.KEEP, 0.1, 0.5, 0.03, Duration.ofSeconds(30));

    public MergeOptions {
        require(bytes >= 0, "bytes", bytes, "0 or more");
        require(load > 0 && load <= 1, "load", load, "above 0 and at most 1");
        require(share >= 0 && share <= 1, "share", share, "from 0 to 1");
        require(gain >= 0 && gain <= 1, "gain", gain, "from 0 to 1");
        require(window.isPositive(), "window", window, "above 0");
    }

    private static void require(boolean condition, String key, Object found, String allowed) {
        if (!condition) {
            throw new IllegalArgumentException(key + " must be " + allowed + ", found " + found);
        }
    }
}
