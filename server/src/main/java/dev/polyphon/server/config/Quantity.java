package dev.polyphon.server.config;

import java.time.Duration;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Pattern;

/** Amounts with a unit: {@code 64KiB}, {@code 1.5GiB}, {@code 250ms}, {@code 30s}. */
final class Quantity {
    private static final Pattern FORM = Pattern.compile("([0-9]{1,15}(?:\\.[0-9]{1,6})?)\\s*([A-Za-z]*)");
    private static final Map<String, Long> BYTES =
            Map.of("", 1L, "B", 1L, "KiB", 1L << 10, "MiB", 1L << 20, "GiB", 1L << 30, "TiB", 1L << 40);
    private static final Map<String, Long> NANOS =
            Map.of("ms", 1_000_000L, "s", 1_000_000_000L, "m", 60_000_000_000L, "h", 3_600_000_000_000L);

    private Quantity() {}

    static Optional<Long> bytes(String text) {
        return read(text, BYTES);
    }

    static Optional<Duration> duration(String text) {
        return read(text, NANOS).map(Duration::ofNanos);
    }

    private static Optional<Long> read(String text, Map<String, Long> units) {
        var match = FORM.matcher(text.strip());
        if (!match.matches() || !units.containsKey(match.group(2))) {
            return Optional.empty();
        }
        double value = Double.parseDouble(match.group(1)) * units.get(match.group(2));
        return value <= Long.MAX_VALUE / 2 ? Optional.of(Math.round(value)) : Optional.empty();
    }

    static String text(long bytes) {
        for (String unit : new String[] {"TiB", "GiB", "MiB", "KiB"}) {
            if (bytes != 0 && bytes % BYTES.get(unit) == 0) {
                return bytes / BYTES.get(unit) + unit;
            }
        }
        return Long.toString(bytes);
    }

    static String text(Duration duration) {
        return duration.toMillis() % 1000 == 0 ? duration.toSeconds() + "s" : duration.toMillis() + "ms";
    }
}
