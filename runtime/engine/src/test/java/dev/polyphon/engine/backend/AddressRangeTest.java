package dev.polyphon.engine.backend;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.ArrayList;
import java.util.List;
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
                    at = random.nextBoolean() ? arena.take(bytes, "a test") : arena.takeHigh(bytes, "a test");
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

    /** What is of one size always finds the places that others of that size left, however much of other sizes came and went at the other end. */
    @Test
    void bothEndsStayApart() {
        AddressRange arena = new AddressRange(START, BYTES);
        List<Long> blocks = new ArrayList<>();
        for (int i = 0; i < 8; i++) {
            blocks.add(arena.takeHigh(4096, "a block"));
            long small = arena.take(256, "something else");
            if (i % 2 == 0) {
                arena.release(small);
            }
        }
        assertThat(blocks.getFirst()).isEqualTo(START + BYTES - 4096);
        arena.release(blocks.get(3));
        arena.release(blocks.get(5));
        arena.take(256 * 40, "something else");
        assertThat(arena.takeHigh(4096, "a block")).isEqualTo(blocks.get(3));
        assertThat(arena.takeHigh(4096, "a block")).isEqualTo(blocks.get(5));
    }

    @Test
    void nothingIsReleasedTwice() {
        AddressRange arena = new AddressRange(START, BYTES);
        long at = arena.take(1, "a test");
        arena.release(at);
        assertThatThrownBy(() -> arena.release(at)).isInstanceOf(IllegalStateException.class);
    }
}
