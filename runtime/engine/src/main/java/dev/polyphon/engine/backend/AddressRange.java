package dev.polyphon.engine.backend;

import java.util.HashMap;
import java.util.Map;
import java.util.TreeMap;

/**
 * Hands out one range of memory, of a device or of the host, to weights, adapters, keys and values and activations: the lowest free place that is large
 * enough, neighbours joined when freed. Thread-safe.
 */
public final class AddressRange {
    /** What every place's address is a multiple of. */
    public static final long ALIGNMENT = 256;

    private final long start;
    private final TreeMap<Long, Long> free = new TreeMap<>();
    private final Map<Long, Long> taken = new HashMap<>();
    private long freeBytes;

    /** @param start its address, a multiple of {@link #ALIGNMENT} */
    public AddressRange(long start, long bytes) {
        this.start = start;
        freeBytes = bytes / ALIGNMENT * ALIGNMENT;
        free.put(start, freeBytes);
    }

    public long start() {
        return start;
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
        long at = tryTake(bytes);
        if (at < 0) {
            throw new DeviceMemoryException(what, bytes, freeBytes);
        }
        return at;
    }

    /** The address of so many bytes; -1 when no free place is large enough. */
    public synchronized long tryTake(long bytes) {
        long wanted = Math.max(1, (bytes + ALIGNMENT - 1) / ALIGNMENT) * ALIGNMENT;
        for (Map.Entry<Long, Long> place : free.entrySet()) {
            if (place.getValue() >= wanted) {
                long at = place.getKey();
                long rest = place.getValue() - wanted;
                free.remove(at);
                if (rest > 0) {
                    free.put(at + wanted, rest);
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
