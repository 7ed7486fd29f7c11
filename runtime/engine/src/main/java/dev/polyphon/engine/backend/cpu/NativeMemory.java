package dev.polyphon.engine.backend.cpu;

import java.lang.foreign.Arena;

/** Zeroed native memory at a cache line's boundary, with some slack after it so that whole vectors may be read and written at its end. */
final class NativeMemory implements AutoCloseable {
    private static final int LINE = 64;

    private final long address;
    private final long bytes;
    private final Runnable free;
    private boolean closed;

    NativeMemory(long bytes) {
        Arena arena = Arena.ofShared();
        this.bytes = bytes + LINE;
        address = arena.allocate(this.bytes, LINE).address();
        free = arena::close;
    }

    private NativeMemory(long bytes, HugePages pages) {
        this.bytes = bytes + LINE;
        address = pages.take(this.bytes);
        free = () -> pages.release(address);
    }

    /** For what is large and read from end to end. */
    static NativeMemory large(long bytes) {
        return LibC.AVAILABLE ? new NativeMemory(bytes, HugePages.SHARED) : new NativeMemory(bytes);
    }

    /** Where it starts. */
    long address() {
        if (closed) {
            throw new IllegalStateException("already closed");
        }
        return address;
    }

    long bytes() {
        return bytes;
    }

    @Override
    public void close() {
        if (!closed) {
            closed = true;
            free.run();
        }
    }
}
