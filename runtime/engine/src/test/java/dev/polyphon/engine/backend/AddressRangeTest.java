package dev.polyphon.engine.backend;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class AddressRangeTest {
    private static final long START = 1 << 20;
    private static final long BYTES = 1 << 16;

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4, 5, 6, 7, 8})
    void placesAreInsideApartAndComeBack(long seed) {
        Random random = new Random(seed);
        AddressRange arena = new AddressRange(START, BYTES);
        TreeMap<Long, Long> taken = new TreeMap<>();
        boolean full = false;
        for (int i = 0; i < 2000; i++) {
            if (!taken.isEmpty() && random.nextInt(2) == 0) {
                Long at = taken.keySet().stream().skip(random.nextInt(taken.size())).findFirst().orElseThrow();
                taken.remove(at);
                arena.release(at);
            } else {
                long bytes = random.nextInt(8000);
                long at;
                try {
                    at = arena.take(bytes, "a test");
                } catch (DeviceMemoryException e) {
                    full = true;
                    continue;
                }
                assertThat(at % AddressRange.ALIGNMENT).isZero();
                assertThat(at).isBetween(START, START + BYTES - bytes);
                Map.Entry<Long, Long> before = taken.lowerEntry(at + bytes);
                assertThat(before == null || before.getKey() + before.getValue() <= at).as("apart").isTrue();
                taken.put(at, Math.max(1, bytes));
            }
        }
        assertThat(full).isTrue();
        taken.keySet().forEach(arena::release);
        assertThat(arena.free()).isEqualTo(BYTES);
        assertThat(arena.take(BYTES, "everything")).as("in one piece again").isEqualTo(START);
    }

    @Test
    void nothingIsReleasedTwice() {
        AddressRange arena = new AddressRange(START, BYTES);
        long at = arena.take(1, "a test");
        arena.release(at);
        assertThatThrownBy(() -> arena.release(at)).isInstanceOf(IllegalStateException.class);
    }
}
