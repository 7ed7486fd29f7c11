package dev.polyphon.engine.backend.cuda;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/**
 * The driver's {@code CUlaunchConfig}, for one launch after the other on a stream. With the attribute that lets a kernel start while the one before it still
 * runs (programmatic stream serialization), which kernels of architectures before Hopper do not know of.
 */
final class LaunchConfig {
    private static final long GRID_X = 0;
    private static final long GRID_Y = 4;
    private static final long GRID_Z = 8;
    private static final long BLOCK_X = 12;
    private static final long BLOCK_Y = 16;
    private static final long BLOCK_Z = 20;
    private static final long SHARED = 24;
    private static final long STREAM = 32;
    private static final long ATTRIBUTES = 40;
    private static final long ATTRIBUTE_COUNT = 48;
    private static final long BYTES = 56;
    private static final long ATTRIBUTE_BYTES = 72;
    private static final long ATTRIBUTE_VALUE = 8;
    private static final int PROGRAMMATIC_STREAM_SERIALIZATION = 6;

    private final MemorySegment config;

    LaunchConfig(Arena arena, MemorySegment stream, boolean overlapping) {
        config = arena.allocate(BYTES, 8);
        config.set(JAVA_INT, GRID_Z, 1);
        config.set(JAVA_INT, BLOCK_Y, 1);
        config.set(JAVA_INT, BLOCK_Z, 1);
        config.set(ADDRESS, STREAM, stream);
        if (overlapping) {
            MemorySegment attribute = arena.allocate(ATTRIBUTE_BYTES, 8);
            attribute.set(JAVA_INT, 0, PROGRAMMATIC_STREAM_SERIALIZATION);
            attribute.set(JAVA_INT, ATTRIBUTE_VALUE, 1);
            config.set(ADDRESS, ATTRIBUTES, attribute);
            config.set(JAVA_INT, ATTRIBUTE_COUNT, 1);
        }
    }

    LaunchConfig of(int gridX, int gridY, int threads, int shared) {
        config.set(JAVA_INT, GRID_X, gridX);
        config.set(JAVA_INT, GRID_Y, gridY);
        config.set(JAVA_INT, BLOCK_X, threads);
        config.set(JAVA_INT, SHARED, shared);
        return this;
    }

    MemorySegment segment() {
        return config;
    }
}
