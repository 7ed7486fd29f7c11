package dev.polyphon.engine.backend.cpu;

/** Memory of one worker for the time of one piece; it grows to the largest ever asked for. */
final class Scratch implements AutoCloseable {
    /** Columns decoded at once: the stretch shares the nearest cache with a tile of inputs and outputs. */
    static final int STRETCH = 128;

    private final NativeMemory scales = new NativeMemory(4L * 2 * Panels.WIDTH * (Panels.MOST_COLUMNS / 16));
    private final NativeMemory decoded = new NativeMemory(4L * Panels.WIDTH * STRETCH);
    private NativeMemory memory = new NativeMemory(1 << 16);
    private NativeMemory blocks = new NativeMemory(1 << 10);
    private float[] floats = new float[1 << 12];

    /** At least so many bytes of anything, at a cache line's boundary. */
    long bytes(long least) {
        if (memory.bytes() < least) {
            memory.close();
            memory = new NativeMemory(least + least / 2);
        }
        return memory.address();
    }

    /** Room for so many addresses of {@link WordPanels#multiply}, beside what {@link #bytes} gives. */
    long blocks(int count) {
        if (blocks.bytes() < 8L * count) {
            blocks.close();
            blocks = new NativeMemory(12L * count);
        }
        return blocks.address();
    }

    /** At least so many floats of anything. */
    float[] floats(int least) {
        if (floats.length < least) {
            floats = new float[least + least / 2];
        }
        return floats;
    }

    /** Room for the scales of {@link Panels#MOST_COLUMNS} columns of a panel. */
    long scales() {
        return scales.address();
    }

    /** Room for {@link #STRETCH} decoded columns of a panel. */
    long decoded() {
        return decoded.address();
    }

    @Override
    public void close() {
        decoded.close();
        memory.close();
        blocks.close();
        scales.close();
    }
}
