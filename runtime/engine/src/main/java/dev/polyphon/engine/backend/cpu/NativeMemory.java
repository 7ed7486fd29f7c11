package dev.polyphon.engine.backend.cpu;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/** Zeroed native memory at a cache line's boundary, with some slack after it so that whole vectors may be read and written at its end. */
final class NativeMemory implements AutoCloseable {
    private static final int LINE = 64;

    private final Arena arena = Arena.ofShared();
    private final MemorySegment segment;
    private boolean closed;

    NativeMemory(long bytes) {
        segment = arena.allocate(bytes + LINE, LINE);
    }

    /** Where it starts. */
    long address() {
        if (closed) {
            throw new IllegalStateException("already closed");
        }
        return segment.address();
    }

    long bytes() {
        return segment.byteSize();
    }

    @Override
    public void close() {
        if (!closed) {
            closed = true;
            arena.close();
        }
    }
}
