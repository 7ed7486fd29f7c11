package dev.polyphon.engine.backend.cpu;

/** Memory of one worker for the time of one piece; it grows to the largest ever asked for. */
final class Scratch implements AutoCloseable {
    private NativeMemory memory = new NativeMemory(1 << 16);
    private float[] floats = new float[256];

    /** At least so many bytes of anything. */
    long bytes(long least) {
        if (memory.bytes() < least) {
            memory.close();
            memory = new NativeMemory(least + least / 2);
        }
        return memory.address();
    }

    /** At least so many floats of anything. */
    float[] floats(int least) {
        if (floats.length < least) {
            floats = new float[least + least / 2];
        }
        return floats;
    }

    @Override
    public void close() {
        memory.close();
    }
}
