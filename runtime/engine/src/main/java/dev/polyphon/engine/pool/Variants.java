package dev.polyphon.engine.pool;

import dev.polyphon.engine.adapter.LoadedAdapter;
import dev.polyphon.engine.pool.AdapterPool.Lease;
import dev.polyphon.engine.pool.Slots.Room;
import dev.polyphon.runtime.AdapterId;
import dev.polyphon.runtime.AdapterWeight;
import dev.polyphon.runtime.RuntimeFault;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;

/**
 * The variants that are in memory or on their way there, and who waits for them. Its lock is the pool's: it guards the slots as well. Thread-safe; frees
 * memory on the executor.
 */
final class Variants {
    private final Executor executor;
    private final Slots slots;
    private final Map<Variant.Key, Variant> all = new HashMap<>();
    /** Bytes in memory of each version by itself. */
    private final Map<Long, Long> weights = new HashMap<>();
    /** What is odd about versions in memory, where something is. */
    private final Map<Long, List<String>> warnings = new HashMap<>();
    /** Versions of which there are merged copies, and how many. */
    private final Map<Long, Integer> merged = new HashMap<>();
    private int waiting;

    /** @param slots empty ones, which this has give way what is evicted */
    Variants(Executor executor, Slots slots) {
        this.executor = executor;
        this.slots = slots;
        slots.onLeaving(this::evict, this::takeNoMore);
    }

    /** A hold on a variant that is in memory, or null. */
    synchronized Lease hold(Variant.Key key) {
        Variant variant = all.get(key);
        if (variant == null || variant.resident == null) {
            return null;
        }
        slots.hit();
        return lease(variant.resident);
    }

    /** What came of joining. */
    sealed interface Joined {
        /** It is in memory. */
        record Here(Lease lease) implements Joined {}

        /**
         * It is awaited.
         *
         * @param first whether nobody did before, so that it has to be loaded
         */
        record Awaited(Variant variant, boolean first) implements Joined {}
    }

    /** Joins those who wait for a variant. */
    synchronized Joined join(Variant.Key key, String tenant, CompletableFuture<Lease> waiter) {
        Variant variant = all.computeIfAbsent(key, missing -> new Variant(missing, tenant));
        if (variant.resident != null) {
            return new Joined.Here(lease(variant.resident));
        }
        slots.miss();
        variant.waiters.add(waiter);
        waiting++;
        boolean first = !variant.loading;
        variant.loading = true;
        return new Joined.Awaited(variant, first);
    }

    /** Waits no longer. A variant that stands in line for room, and that nobody waits for any more, leaves it. */
    synchronized void leave(Variant variant, CompletableFuture<Lease> waiter) {
        if (!variant.waiters.remove(waiter)) {
            return;
        }
        waiting--;
        if (variant.waiters.isEmpty() && variant.room != null) {
            variant.room.cancel(false);
            variant.room = null;
            variant.loading = false;
            all.remove(variant.key, variant);
            slots.serve();
        }
    }

    /** Whether anybody waits for a variant that is being loaded. */
    synchronized boolean wanted(Variant variant) {
        return !variant.waiters.isEmpty();
    }

    synchronized boolean inLine(Variant variant) {
        return variant.room != null;
    }

    private Lease lease(Resident resident) {
        slots.use(resident);
        return new Lease(this, resident);
    }

    /** Ends a hold. Frees nothing itself, so that it may be called by who must not wait. */
    synchronized void release(Resident resident) {
        // What rests may give way at once, and is then another's to free.
        boolean retired = resident.retired;
        slots.release(resident);
        if (resident.users == 0) {
            if (retired) {
                free(resident);
            } else {
                vacate();
            }
        }
    }

    /** A hold becomes a promise: while nobody uses the adapter, it may give way. */
    synchronized void loosen(Resident resident) {
        resident.promised++;
        release(resident);
    }

    /** A promise becomes a hold again, or, false, is no more, because the adapter has gone or is about to. */
    synchronized boolean fasten(Resident resident) {
        resident.promised--;
        if (resident.retired) {
            return false;
        }
        slots.use(resident);
        return true;
    }

    /** A promise is not needed any more. */
    synchronized void forgo(Resident resident) {
        resident.promised--;
        if (!resident.retired && resident.users == 0 && resident.promised == 0) {
            slots.rest(resident);
            vacate();
        }
    }

    /** Puts what was loaded into service, in its room, for those who wait; what was there under the same key gives way. */
    void admit(Variant asked, Variant.Key key, LoadedAdapter adapter, List<Object> stamps) {
        List<CompletableFuture<Lease>> waiters;
        Resident resident;
        synchronized (this) {
            waiters = settle(asked);
            resident = serve(new Variant(key, asked.tenant), adapter, stamps, waiters.size());
            if (asked.removed) {
                all.remove(key, resident.variant);
                retire(resident.variant);
            }
        }
        for (CompletableFuture<Lease> waiter : waiters) {
            Lease lease = new Lease(this, resident);
            if (!waiter.complete(lease)) {
                lease.close();
            }
        }
    }

    /** The same, for nobody in particular. */
    synchronized void admit(List<AdapterWeight> wanted, Part part, LoadedAdapter adapter, List<Object> stamps) {
        serve(new Variant(new Variant.Key(wanted, List.of(part)), part.id().owner()), adapter, stamps, 0);
    }

    /** Puts what was read anew into service instead of what was read before; false when that no longer is, and then nothing changes. */
    synchronized boolean replace(Variant old, Variant.Key key, LoadedAdapter adapter, List<Object> stamps) {
        if (old.removed) {
            return false;
        }
        all.remove(old.key, old);
        retire(old);
        serve(new Variant(key, old.tenant), adapter, stamps, 0);
        return true;
    }

    /** Nobody waits for what was being loaded; false when somebody does again. */
    synchronized boolean abandon(Variant variant) {
        if (!variant.waiters.isEmpty()) {
            return false;
        }
        settle(variant);
        return true;
    }

    void failed(Variant variant, RuntimeFault fault) {
        List<CompletableFuture<Lease>> waiters;
        synchronized (this) {
            waiters = settle(variant);
        }
        waiters.forEach(waiter -> waiter.completeExceptionally(fault));
    }

    /** A load has ended; returns who waited for it. */
    private List<CompletableFuture<Lease>> settle(Variant variant) {
        List<CompletableFuture<Lease>> waiters = List.copyOf(variant.waiters);
        variant.waiters.clear();
        variant.loading = false;
        waiting -= waiters.size();
        all.remove(variant.key, variant);
        return waiters;
    }

    private Resident serve(Variant variant, LoadedAdapter adapter, List<Object> stamps, int users) {
        Variant before = all.put(variant.key, variant);
        if (before != null) {
            retire(before);
        }
        variant.resident = new Resident(adapter, variant, stamps);
        for (int i = 0; i < users; i++) {
            slots.use(variant.resident);
        }
        weigh(variant, adapter.bytes());
        if (variant.key.parts().size() == 1 && !adapter.warnings().isEmpty()) {
            warnings.put(variant.key.parts().getFirst().number(), adapter.warnings());
        }
        slots.settled();
        if (users == 0) {
            slots.rest(variant.resident);
        }
        return variant.resident;
    }

    /** Takes everything made of an adapter out of service, its weights as soon as nobody uses them. */
    synchronized void retire(AdapterId id) {
        all.values().removeIf(variant -> {
            if (variant.key.parts().stream().noneMatch(part -> part.id().equals(id))) {
                return false;
            }
            retire(variant);
            return !variant.loading;
        });
    }

    private void retire(Variant variant) {
        variant.removed = true;
        Resident resident = variant.resident;
        if (resident != null) {
            withdraw(resident);
            if (resident.users == 0) {
                slots.forget(resident);
                free(resident);
            }
        }
    }

    /** Takes out of service what gives way; its room is another's already. */
    private void evict(Resident resident) {
        all.remove(resident.variant.key, resident.variant);
        resident.variant.removed = true;
        withdraw(resident);
    }

    /** Takes out of service what is in use, for others to have its room when it no longer is. Merged ones stay: they are used as long as they are. */
    private void takeNoMore(Resident resident) {
        if (resident.variant.key.parts().stream().noneMatch(part -> merged.containsKey(part.number()))) {
            all.remove(resident.variant.key, resident.variant);
            retire(resident.variant);
        }
    }

    private void withdraw(Resident resident) {
        resident.variant.resident = null;
        resident.retired = true;
        weigh(resident.variant, -resident.bytes());
    }

    /** Frees memory on the executor: that takes longer than the step loop, which ends leases, may wait. */
    private void free(Resident resident) {
        slots.goes(resident.bytes());
        executor.execute(() -> {
            resident.adapter.close();
            synchronized (this) {
                slots.gone(resident.bytes());
            }
        });
    }

    /** Lets what others want the memory of go, as far as nobody uses it. */
    synchronized void vacate() {
        Room room = slots.vacate();
        if (!room.evicted().isEmpty()) {
            executor.execute(() -> {
                room.clear();
                synchronized (this) {
                    slots.vacated(room);
                }
            });
        }
    }

    /** Lets those in line have what others gave back. */
    synchronized void serve() {
        slots.serve();
    }

    private void weigh(Variant variant, long delta) {
        if (variant.key.parts().size() == 1) {
            long number = variant.key.parts().getFirst().number();
            if (weights.merge(number, delta, (a, b) -> a + b == 0 ? null : Long.valueOf(a + b)) == null) {
                warnings.remove(number);
            }
        }
    }

    /** Bytes of a version in memory, or -1 when it is not there. */
    synchronized long weight(long number) {
        return weights.getOrDefault(number, -1L);
    }

    /** What is odd about a version; empty also while it is not in memory. */
    synchronized List<String> warnings(long number) {
        return warnings.getOrDefault(number, List.of());
    }

    synchronized boolean retired(Resident resident) {
        return resident.retired;
    }

    /** Notes that there is one more merged copy in service, or one less. */
    synchronized void merged(Variant variant, boolean more) {
        if (variant.key.parts().size() == 1) {
            merged.merge(variant.key.parts().getFirst().number(), more ? 1 : -1, (a, b) -> a + b == 0 ? null : Integer.valueOf(a + b));
        }
    }

    /** Whether requests get a version merged. */
    synchronized boolean merged(long number) {
        return merged.containsKey(number);
    }

    /** How many wait. */
    synchronized int waiting() {
        return waiting;
    }

    /** Releases all; none may be in use. */
    void close() {
        List<Variant> left;
        synchronized (this) {
            left = List.copyOf(all.values());
            all.clear();
        }
        for (Variant variant : left) {
            if (variant.resident != null) {
                variant.resident.adapter.close();
            }
        }
    }
}
