package dev.polyphon.engine.backend.cuda;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.Objects;

/**
 * Kernels that are to run one after the other, collected before any of them runs: of each its arguments ({@code Args} in common.cuh), its function and its
 * grid, in native memory. Lists that are equal byte for byte do the same work, which is what {@link Graphs} recognises them by.
 */
final class Launches {
    private static final int POINTERS = 10;
    private static final int INTS = 16;
    private static final int FLOATS = 8;
    private static final long FIRST_INT = 8L * POINTERS;
    private static final long FIRST_FLOAT = FIRST_INT + 4L * INTS;
    private static final long FUNCTION = FIRST_FLOAT + 4L * FLOATS;
    private static final long GRID_X = FUNCTION + 8;
    private static final long GRID_Y = GRID_X + 4;
    private static final long THREADS = GRID_Y + 4;
    private static final long NAME = THREADS + 4;
    private static final long INT_COUNT = NAME + 4;
    private static final long SHARED = INT_COUNT + 4;
    private static final long BYTES = SHARED + 4;

    private Arena arena = Arena.ofShared();
    private MemorySegment memory = arena.allocate(512 * BYTES, 8);
    private final List<String> names;
    private int count;
    private int pointers;
    private int ints;
    private int floats;

    /** @param names of kernels, by the numbers that they are added with */
    Launches(List<String> names) {
        this.names = names;
    }

    int count() {
        return count;
    }

    void clear() {
        count = 0;
    }

    /** All launches. */
    MemorySegment bytes() {
        return memory.asSlice(0, count * BYTES);
    }

    /** Begins the arguments of the next kernel. */
    Launches next() {
        if ((count + 1) * BYTES > memory.byteSize()) {
            Arena larger = Arena.ofShared();
            MemorySegment grown = larger.allocate(2 * memory.byteSize(), 8).copyFrom(memory);
            arena.close();
            arena = larger;
            memory = grown;
        }
        memory.asSlice(count * BYTES, BYTES).fill((byte) 0);
        pointers = 0;
        ints = 0;
        floats = 0;
        return this;
    }

    Launches at(long address) {
        memory.set(JAVA_LONG, count * BYTES + 8L * Objects.checkIndex(pointers++, POINTERS), address);
        return this;
    }

    Launches with(int value) {
        memory.set(JAVA_INT, count * BYTES + FIRST_INT + 4L * Objects.checkIndex(ints++, INTS), value);
        return this;
    }

    Launches with(float value) {
        memory.set(JAVA_FLOAT, count * BYTES + FIRST_FLOAT + 4L * Objects.checkIndex(floats++, FLOATS), value);
        return this;
    }

    /**
     * Adds the kernel with the arguments set last.
     *
     * @param shared bytes of shared memory beside what the kernel declares
     */
    void add(int name, MemorySegment function, int gridX, int gridY, int threads, int shared) {
        long at = count * BYTES;
        memory.set(JAVA_LONG, at + FUNCTION, function.address());
        memory.set(JAVA_INT, at + GRID_X, gridX);
        memory.set(JAVA_INT, at + GRID_Y, gridY);
        memory.set(JAVA_INT, at + THREADS, threads);
        memory.set(JAVA_INT, at + NAME, name);
        memory.set(JAVA_INT, at + INT_COUNT, ints);
        memory.set(JAVA_INT, at + SHARED, shared);
        count++;
    }

    MemorySegment function(int i) {
        return MemorySegment.ofAddress(memory.get(JAVA_LONG, i * BYTES + FUNCTION));
    }

    MemorySegment arguments(int i) {
        return memory.asSlice(i * BYTES, FUNCTION);
    }

    int gridX(int i) {
        return memory.get(JAVA_INT, i * BYTES + GRID_X);
    }

    int gridY(int i) {
        return memory.get(JAVA_INT, i * BYTES + GRID_Y);
    }

    int threads(int i) {
        return memory.get(JAVA_INT, i * BYTES + THREADS);
    }

    int shared(int i) {
        return memory.get(JAVA_INT, i * BYTES + SHARED);
    }

    /** A launch for messages: kernel, grid and sizes. */
    String describe(int i) {
        StringBuilder text = new StringBuilder("kernel ").append(names.get(memory.get(JAVA_INT, i * BYTES + NAME))).append(" on ").append(gridX(i)).append(" x ")
                .append(gridY(i)).append(" blocks of ").append(threads(i)).append(" threads with sizes");
        for (int n = 0; n < memory.get(JAVA_INT, i * BYTES + INT_COUNT); n++) {
            text.append(' ').append(memory.get(JAVA_INT, i * BYTES + FIRST_INT + 4L * n));
        }
        return text.toString();
    }

    void close() {
        arena.close();
    }
}
