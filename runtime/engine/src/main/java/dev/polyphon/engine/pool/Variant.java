package dev.polyphon.engine.pool;

import dev.polyphon.engine.pool.AdapterPool.Lease;
import dev.polyphon.runtime.AdapterWeight;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.stream.Collectors;

/** What requests ask for: one adapter, a task of it, or a mix. Guarded by the pool. */
final class Variant {

    /** What is asked for, and of which versions. */
    record Key(List<AdapterWeight> wanted, List<Part> parts) {
        Key {
            wanted = List.copyOf(wanted);
            parts = List.copyOf(parts);
        }

        String name() {
            return parts.stream().map(part -> part.id().name()).collect(Collectors.joining("+"));
        }

        /** Whether it is one adapter as it is, so that what is wrong with it is the adapter's own. */
        boolean plain() {
            return parts.size() == 1 && wanted.getFirst().weight() == 1 && wanted.getFirst().task() == null;
        }
    }

    final Key key;
    /** Who asked first: while there is no room, its turn is taken. */
    final String tenant;
    /** Null while it is not in memory. */
    Resident resident;
    boolean loading;
    /** Those who wait until it is loaded; each will hold it. */
    final List<CompletableFuture<Lease>> waiters = new ArrayList<>(1);
    /** Its place in line while it waits for room; null otherwise. */
    CompletableFuture<Slots.Room> room;
    /** Time spent on loading it, waits for room left out. */
    long nanos;
    /** Out of service: those who wait still get it. */
    boolean removed;

    Variant(Key key, String tenant) {
        this.key = key;
        this.tenant = tenant;
    }
}
