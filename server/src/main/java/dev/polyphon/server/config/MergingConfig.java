package dev.polyphon.server.config;

import dev.polyphon.runtime.MergeMode;
import dev.polyphon.runtime.RuntimeFault;
import java.time.Duration;
import java.util.List;

/**
 * Which adapters are folded into copies of the base's weights while they are served.
 *
 * @param mode which without being asked for
 * @param bytes that copies may take together
 * @param precision of the copies: f32, f16, bf16 or q8_0; keep for what loses nothing that matters of the base's
 * @param load part of one core that making a copy takes at most while requests are served
 * @param share of the rows that an adapter must have to be considered
 * @param gain part of the steps' time that merging must save
 * @param window time over which demand is counted
 */
public record MergingConfig(MergeMode mode, long bytes, String precision, double load, double share, double gain, Duration window) {

    static MergingConfig read(Section merging) {
        return new MergingConfig(
                mode(merging.text("mode", "never")),
                merging.bytes("bytes", 1 << 30, 0, 1L << 50),
                merging.oneOf("precision", "keep", List.of("keep", "f32", "f16", "bf16", "q8_0")),
                merging.integer("load", 10, 1, 100) / 100.0,
                merging.integer("share", 50, 0, 100) / 100.0,
                merging.integer("gain", 3, 0, 100) / 100.0,
                merging.duration("window", Duration.ofSeconds(30), Duration.ofMillis(100), Duration.ofHours(1)));
    }

    private static MergeMode mode(String text) {
        try {
            return MergeMode.parse(text);
        } catch (RuntimeFault e) {
            throw new ConfigException("merging." + e.getMessage());
        }
    }
}
