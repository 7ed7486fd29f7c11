package dev.polyphon.engine.backend.cpu;

import dev.polyphon.engine.backend.AddressRange;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;

/**
 * Zeroed memory for weights, keys and values on pages of 2 MiB, where the system gives them: reading a model from end to end then misses the address
 * cache 512 times less often. Places come from slabs, as most matrices are smaller than a few pages; a slab goes back when nothing in it is taken.
 * Thread-safe.
 */
final class HugePages {
    private static final long PAGE = 2 << 20;
    private static final long SLAB = 16 * PAGE;

    /** The process has one system to ask. */
    static final HugePages SHARED = new HugePages();

    private static final class Slab {
        final MemorySegment mapped;
        final AddressRange places;
        final long bytes;
        /** Up to here memory has been handed out before, so that it may hold something. */
        long used;

        Slab(long bytes) {
            this.bytes = bytes;
            mapped = LibC.map(bytes + PAGE);
            LibC.adviseHugePages(mapped);
            used = mapped.address() + PAGE - 1 & -PAGE;
            places = new AddressRange(used, bytes);
        }

        boolean holds(long address) {
            return address >= places.start() && address < places.start() + bytes;
        }
    }

    private final List<Slab> slabs = new ArrayList<>();

    private HugePages() {}

    /** The address of so many bytes, all zero. */
    long take(long bytes) {
        Slab slab;
        long at;
        long dirty;
        synchronized (this) {
            slab = null;
            at = -1;
            for (int i = 0; at < 0 && i < slabs.size(); i++) {
                slab = slabs.get(i);
                at = slab.places.tryTake(bytes);
            }
            if (at < 0) {
                slab = new Slab(Math.max(SLAB, bytes + PAGE - 1 & -PAGE));
                slabs.add(slab);
                at = slab.places.take(bytes, "weights");
            }
            dirty = Math.max(0, Math.min(slab.used - at, bytes));
            slab.used = Math.max(slab.used, at + bytes);
        }
        MemorySegment.ofAddress(at).reinterpret(dirty).fill((byte) 0);
        return at;
    }

    /** Gives a place back. */
    synchronized void release(long address) {
        Slab slab = slabs.stream().filter(s -> s.holds(address)).findFirst().orElseThrow();
        slab.places.release(address);
        if (slab.places.free() == slab.bytes) {
            slabs.remove(slab);
            LibC.unmap(slab.mapped);
        }
    }

    /** What is mapped at present, in bytes. */
    synchronized long mapped() {
        return slabs.stream().mapToLong(s -> s.bytes).sum();
    }
}
