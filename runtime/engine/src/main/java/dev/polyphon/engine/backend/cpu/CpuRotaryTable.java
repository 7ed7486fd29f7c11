package dev.polyphon.engine.backend.cpu;

import dev.polyphon.engine.backend.RotaryTable;

/** For each position the cosines of all pairs, then their sines. */
final class CpuRotaryTable implements RotaryTable {
    private final int pairs;
    private final int positions;
    private final NativeMemory memory;

    CpuRotaryTable(float[] inverseFrequencies, float magnitude, int positions) {
        pairs = inverseFrequencies.length;
        this.positions = positions;
        memory = new NativeMemory(8L * pairs * positions);
        for (int p = 0; p < positions; p++) {
            for (int i = 0; i < pairs; i++) {
                // The angle in f32, as the reference implementations have it.
                float angle = p * inverseFrequencies[i];
                Lanes.set(cos(p) + 4L * i, (float) (Math.cos(angle) * magnitude));
                Lanes.set(sin(p) + 4L * i, (float) (Math.sin(angle) * magnitude));
            }
        }
    }

    @Override
    public int pairs() {
        return pairs;
    }

    int positions() {
        return positions;
    }

    long cos(int position) {
        return memory.address() + 8L * pairs * position;
    }

    long sin(int position) {
        return cos(position) + 4L * pairs;
    }

    @Override
    public void close() {
        memory.close();
    }
}
