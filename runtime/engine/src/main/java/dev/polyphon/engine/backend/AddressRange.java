package dev.polyphon.engine.backend;

import java.util.HashMap;
import java.util.Map;
import java.util.NavigableMap;
import java.util.TreeMap;

/**
 * Hands out one range of memory, of a device or of the host, to weights, adapters, keys and values and activations: the lowest free place that is large
 * enough, or the highest, neighbours joined when freed. What is all of one size, and comes and goes, is best taken from the other end than the rest. Thread-safe.
 */
public final class AddressRange {
    /** What every place's address is a multiple of. */
    public static final long ALIGNMENT = 256;

    private final long start;
    private final long bytes;
    private final TreeMap<Long, Long> free = new TreeMap<>();
    private final Map<Long, Long> taken = new HashMap<>();
    private long freeBytes;

    /** @param start its address, a multiple of {@link #ALIGNMENT} */
    public AddressRange(long start, long bytes) {
        this.start = start;
        this.bytes = bytes / ALIGNMENT * ALIGNMENT;
        freeBytes = this.bytes;
        free.put(start, freeBytes);
    }

    public long start() {
        return start;
    }

    /** Bytes of it all. */
    public long bytes() {
        return bytes;
    }

    /** Bytes that are free, perhaps not in one piece. */
    public synchronized long free() {
        return freeBytes;
    }

    /**
     * The address of so many bytes.
     *
     * @param what for the message
     * @throws DeviceMemoryException when no free place is large enough
     */
    public synchronized long take(long bytes, String what) {
        return orThrow(tryTake(bytes), bytes, what);
    }

    /** The same, as high as there is room. */
    public synchronized long takeHigh(long bytes, String what) {
        return orThrow(place(bytes, free.descendingMap(), true), bytes, what);
    }

    private long orThrow(long at, long bytes, String what) {
        if (at < 0) {
            throw new DeviceMemoryException(what, bytes, freeBytes);
        }
        return at;
    }

    /** The address of so many bytes; -1 when no free place is large enough. */
    public synchronized long tryTake(long bytes) {
        return place(bytes, free, false);
    }

    private long place(long bytes, NavigableMap<Long, Long> places, boolean high) {
        long wanted = Math.max(1, (bytes + ALIGNMENT - 1) / ALIGNMENT) * ALIGNMENT;
        for (Map.Entry<Long, Long> place : places.entrySet()) {
            if (place.getValue() >= wanted) {
                long from = place.getKey();
                long rest = place.getValue() - wanted;
                long at = high ? from + rest : from;
                free.remove(from);
                if (rest > 0) {
                    free.put(high ? from : from + wanted, rest);
                }
                taken.put(at, wanted);
                freeBytes -= wanted;
                return at;
            }
        }
        return -1;
    }

    /** Gives a place back. @throws IllegalStateException when it is not taken */
    public synchronized void release(long address) {
        Long bytes = taken.remove(address);
        if (bytes == null) {
            throw new IllegalStateException("address " + address + " is not taken");
        }
        freeBytes += bytes;
        long at = address;
        long size = bytes;
        Map.Entry<Long, Long> before = free.lowerEntry(at);
        if (before != null && before.getKey() + before.getValue() == at) {
            at = before.getKey();
            size += before.getValue();
        }
        Long after = free.remove(address + bytes);
        if (after != null) {
            size += after;
        }
        free.put(at, size);
    }
}
