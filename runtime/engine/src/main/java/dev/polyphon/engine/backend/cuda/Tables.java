package dev.polyphon.engine.backend.cuda;

import static java.lang.foreign.ValueLayout.JAVA_INT;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import java.util.function.LongSupplier;

/**
 * What kernels need to know of a step, in pinned memory here and at the same places on the device: positions, block tables, lists of adapters. Everything
 * that changes goes up in one copy before the step's kernels run. Tables that depend on which adapters are in the batch stay where they are from step to
 * step, and are copied only when they change.
 *
 * <p>Places depend on the order and sizes of tables alone, sizes rounded up to powers of two, so that steps of the same shape have the same addresses.
 * Used by the step loop's thread.
 */
final class Tables {
    private final MemorySegment host;
    private final long device;
    private final long passing;
    private long used;
    private long sent;
    private final List<Once> once = new ArrayList<>();
    private final List<Kept> kept = new ArrayList<>();
    private int next;
    private long keptUsed;
    private long changedFrom = Long.MAX_VALUE;
    private long changedTo;

    /** @param owner whose identity says whether a table is still the same */
    private record Kept(Object owner, int tag, long at, long bytes) {}

    private record Once(Object owner, int tag, long address) {}

    /** Copies from this many bytes of the host's tables on, so many, to the same place on the device. */
    @FunctionalInterface
    interface Copy {
        void copy(long at, long bytes);
    }

    /** @param host pinned; as much is on the device. An eighth is for what changes with every step */
    Tables(MemorySegment host, long device) {
        this.host = host;
        this.device = device;
        passing = host.byteSize() / 8 / 256 * 256;
    }

    /** Begins a step. */
    void begin() {
        restart();
        next = 0;
        keptUsed = 0;
    }

    /** Forgets the tables of kernels that have run. */
    void restart() {
        used = 0;
        sent = 0;
        once.clear();
    }

    /** A table that several kernels of a step need, made by the first. */
    long once(Object owner, int tag, LongSupplier made) {
        for (Once o : once) {
            if (o.owner == owner && o.tag == tag) {
                return o.address;
            }
        }
        long address = made.getAsLong();
        once.add(new Once(owner, tag, address));
        return address;
    }

    private static long rounded(long bytes) {
        return Math.max(256, Long.highestOneBit(Math.max(1, bytes - 1)) << 1);
    }

    /** Where on the device. */
    long address(long at) {
        return device + at;
    }

    long add(int[] values, int count) {
        long at = reserve(4L * count);
        MemorySegment.copy(values, 0, host, JAVA_INT, at, count);
        return device + at;
    }

    long add(MemorySegment bytes) {
        long at = reserve(bytes.byteSize());
        MemorySegment.copy(bytes, 0, host, at, bytes.byteSize());
        return device + at;
    }

    private long reserve(long bytes) {
        long at = used;
        if (at + rounded(bytes) > passing) {
            throw new IllegalStateException("a step's tables take more than " + passing + " bytes");
        }
        used += rounded(bytes);
        return at;
    }

    /**
     * A table that stays the same as long as its owner is the same object.
     *
     * @param tag tells an owner's tables apart
     */
    long keep(Object owner, int tag, long bytes, Consumer<MemorySegment> writer) {
        long at = passing + keptUsed;
        if (at + rounded(bytes) > host.byteSize()) {
            throw new IllegalStateException("a step's lists of adapters take more than " + (host.byteSize() - passing) + " bytes");
        }
        keptUsed += rounded(bytes);
        Kept old = next < kept.size() ? kept.get(next) : null;
        if (old == null || old.owner != owner || old.tag != tag || old.at != at || old.bytes != bytes) {
            // What stood from here on may be overwritten.
            Kept now = new Kept(owner, tag, at, bytes);
            if (old == null) {
                kept.add(now);
            } else {
                kept.set(next, now);
                for (int i = next + 1; i < kept.size() && kept.get(i).at < at + bytes; i++) {
                    kept.set(i, new Kept(null, 0, kept.get(i).at, 0));
                }
            }
            writer.accept(host.asSlice(at, bytes));
            changedFrom = Math.min(changedFrom, at);
            changedTo = Math.max(changedTo, at + bytes);
        }
        next++;
        return device + at;
    }

    /** Sends what is new. */
    void send(Copy copy) {
        if (used > sent) {
            copy.copy(sent, used - sent);
            sent = used;
        }
        if (changedTo > changedFrom) {
            copy.copy(changedFrom, changedTo - changedFrom);
            changedFrom = Long.MAX_VALUE;
            changedTo = 0;
        }
    }
}
