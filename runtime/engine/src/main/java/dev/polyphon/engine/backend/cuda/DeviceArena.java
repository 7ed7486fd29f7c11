package dev.polyphon.engine.backend.cuda;

import dev.polyphon.engine.backend.DeviceMemoryException;
import java.util.HashMap;
import java.util.Map;
import java.util.TreeMap;

/**
 * Hands out one stretch of device memory to weights, adapters, keys and values and activations: the lowest free place that is large enough, neighbours
 * joined when freed. Thread-safe.
 */
final class DeviceArena {
    static final long ALIGNMENT = 256;

    private final long start;
    private final TreeMap<Long, Long> free = new TreeMap<>();
    private final Map<Long, Long> taken = new HashMap<>();
    private long freeBytes;

    /** @param start its address, a multiple of {@link #ALIGNMENT} */
    DeviceArena(long start, long bytes) {
        this.start = start;
        freeBytes = bytes / ALIGNMENT * ALIGNMENT;
        free.put(start, freeBytes);
    }

    long start() {
        return start;
    }

    synchronized long free() {
        return freeBytes;
    }

    /**
     * The address of so many bytes.
     *
     * @param what for the message
     * @throws DeviceMemoryException when no free place is large enough
     */
    synchronized long take(long bytes, String what) {
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
        throw new DeviceMemoryException(what, bytes, freeBytes);
    }

    synchronized void release(long address) {
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
