package dev.polyphon.engine.backend.cpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class HugePagesTest {
    @BeforeAll
    static void onLinux() {
        assumeTrue(LibC.AVAILABLE, "not Linux");
    }

    /** Places do not overlap, are zero when taken, also where others wrote before, and all memory goes back. */
    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3})
    void placesAreApartAndZeroAndGoBack(long seed) {
        Random random = new Random(seed);
        HugePages pages = HugePages.SHARED;
        long before = pages.mapped();
        TreeMap<Long, Long> taken = new TreeMap<>();
        for (int i = 0; i < 400; i++) {
            if (taken.size() > 30 || !taken.isEmpty() && random.nextInt(2) == 0) {
                Map.Entry<Long, Long> some = taken.ceilingEntry(taken.firstKey() + (long) (random.nextDouble() * (taken.lastKey() - taken.firstKey())));
                pages.release(some.getKey());
                taken.remove(some.getKey());
            } else {
                long bytes = 1 + random.nextInt(random.nextInt(10) == 0 ? 70 << 20 : 3 << 20);
                long at = pages.take(bytes);
                assertThat(at % 64).isZero();
                Map.Entry<Long, Long> left = taken.lowerEntry(at + bytes);
                assertThat(left == null || left.getKey() + left.getValue() <= at).as("apart").isTrue();
                taken.put(at, bytes);
                for (long k = random.nextInt(4096); k < bytes; k += 4096) {
                    assertThat(Lanes.getByte(at + k)).isZero();
                    Lanes.setByte(at + k, 1);
                }
            }
        }
        taken.keySet().forEach(pages::release);
        assertThat(pages.mapped()).isEqualTo(before);
    }
}
