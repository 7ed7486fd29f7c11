package dev.polyphon.engine.backend.cuda;

import dev.polyphon.engine.backend.AddressRange;
import dev.polyphon.engine.backend.RotaryTable;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;

/** For each position the cosines of all pairs, then their sines. */
final class CudaRotaryTable implements RotaryTable {
    private final AddressRange arena;
    private final int pairs;
    private final int positions;
    private final long address;
    private boolean closed;

    CudaRotaryTable(Device device, float[] inverseFrequencies, float magnitude, int positions) {
        arena = device.arena();
        pairs = inverseFrequencies.length;
        this.positions = positions;
        long bytes = 8L * pairs * positions;
        address = arena.take(bytes, "rotations of " + positions + " positions");
        try (Arena passing = Arena.ofConfined()) {
            MemorySegment table = passing.allocate(Math.max(4, bytes), 4);
            for (int p = 0; p < positions; p++) {
                for (int i = 0; i < pairs; i++) {
                    // The angle in f32, as the reference implementations have it.
                    float angle = p * inverseFrequencies[i];
                    table.setAtIndex(ValueLayout.JAVA_FLOAT, 2L * p * pairs + i, (float) (Math.cos(angle) * magnitude));
                    table.setAtIndex(ValueLayout.JAVA_FLOAT, (2L * p + 1) * pairs + i, (float) (Math.sin(angle) * magnitude));
                }
            }
            device.upload(table.asSlice(0, bytes), address);
        }
    }

    @Override
    public int pairs() {
        return pairs;
    }

    int positions() {
        return positions;
    }

    long address() {
        return address;
    }

    @Override
    public void close() {
        if (!closed) {
            closed = true;
            arena.release(address);
        }
    }
}
