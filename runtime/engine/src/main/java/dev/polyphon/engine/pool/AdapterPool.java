package dev.polyphon.engine.pool;

import dev.polyphon.engine.adapter.AdapterFault;
import dev.polyphon.engine.adapter.AdapterFolder;
import dev.polyphon.engine.adapter.AdapterPart;
import dev.polyphon.engine.adapter.LoadedAdapter;
import dev.polyphon.engine.model.AdapterWeights;
import dev.polyphon.engine.pool.Slots.Room;
import dev.polyphon.engine.pool.source.Fetcher;
import dev.polyphon.runtime.AdapterCatalog;
import dev.polyphon.runtime.AdapterFailure;
import dev.polyphon.runtime.AdapterId;
import dev.polyphon.runtime.AdapterSource;
import dev.polyphon.runtime.AdapterTiers;
import dev.polyphon.runtime.AdapterWeight;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.runtime.RuntimeFault.Kind;
import dev.polyphon.runtime.RuntimeObserver;
import java.io.IOException;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/**
 * The adapters of one base, from where their files are to where the model computes: loaded when first wanted, kept while they fit ({@link Slots},
 * {@link HostTier}, {@link DiskStore}). What is loaded is what requests ask for: an adapter, one task of it, or a weighted mix of several.
 *
 * <p>A folder whose files have changed is read anew beside what is loaded from it; requests get the new version when that is ready, and stay with the one
 * they have.
 *
 * <p>Thread-safe. Loading happens on the executor; nothing here waits for it.
 */
public final class AdapterPool implements AutoCloseable {
    /** Makes what a request asks for out of its files. */
    @FunctionalInterface
    public interface Loader {
        LoadedAdapter load(List<AdapterPart> parts) throws IOException;
    }

    /** A hold on an adapter's weights: until it is closed they stay in memory. */
    public final class Lease implements AutoCloseable {
        private final Resident resident;
        private boolean closed;

        private Lease(Resident resident) {
            this.resident = resident;
        }

        public AdapterWeights weights() {
            return resident.adapter.weights();
        }

        /** Frees nothing itself, so that it may be called by who must not wait. */
        @Override
        public void close() {
            synchronized (AdapterPool.this) {
                if (!closed) {
                    closed = true;
                    if (--resident.users == 0) {
                        if (resident.retired) {
                            free(resident);
                        } else {
                            slots.rest(resident);
                        }
                    }
                }
            }
        }
    }

    private final Registry registry;
    private final Failures failures = new Failures();
    private final PoolOptions options;
    private final Executor executor;
    private final DiskStore disk;
    private final Fetcher fetcher;
    private final HostTier host;
    private final Loads loads;
    private final PoolCatalog catalog;
    private final Slots slots;
    private final Map<Variant.Key, Variant> variants = new HashMap<>();
    /** Bytes in memory of each version by itself. */
    private final Map<Long, Long> weights = new HashMap<>();
    private int waiting;

    /**
     * @param base name of the base model
     * @param executor runs loads, which wait for files
     */
    public AdapterPool(String base, PoolOptions options, Loader loader, Executor executor, RuntimeObserver observer) throws IOException {
        this.options = options;
        this.executor = executor;
        this.registry = Registry.open(base, options.store() == null ? null : options.store().resolve("adapters.db"));
        try {
            Set<String> uploads = registry.uploads();
            Set<String> known = registry.hashes();
            disk = DiskStore.open(options.store(), options.diskBytes(), uploads::contains, known::contains);
        } catch (IOException e) {
            registry.close();
            throw e;
        }
        fetcher = new Fetcher(options.sources());
        VersionFiles files = new VersionFiles(disk, fetcher);
        host = new HostTier(files, options.hostBytes(), registry::pinned);
        slots = new Slots(options.deviceBytes(), resident -> resident.variant.key.parts().stream().anyMatch(part -> registry.pinned(part.number())), this::evict);
        loads = new Loads(this, registry, failures, host, files, loader, observer);
        catalog = new PoolCatalog(base, options, registry, this, failures, executor, new PoolCatalog.Tiers(fetcher, disk, host), loads);
        registry.live().values().stream().filter(Registered::pinned).forEach(one -> catalog.load(one.id()));
    }

    public AdapterCatalog catalog() {
        return catalog;
    }

    /** A version in service: {@code name}, or {@code name@version}. */
    Optional<Part> resolve(String tenant, String name) {
        int at = name.indexOf('@');
        return registry.resolve(tenant, at < 0 ? name : name.substring(0, at))
                .flatMap(one -> (at < 0 ? Optional.of(one.current()) : one.version(name.substring(at + 1))).map(version -> new Part(one.id(), version)));
    }

    /** The files of an adapter that a tenant names: in place, or a copy in memory. Waits for them. */
    public AdapterFolder folder(String tenant, String name) throws IOException {
        Part part = resolve(tenant, name).orElseThrow(() -> Registry.unknown(name));
        if (part.version().source() instanceof AdapterSource.Folder folder) {
            return AdapterFolder.open(folder.path());
        }
        Image image = host.get(part, () -> true);
        try {
            return image.copy();
        } finally {
            image.release();
        }
    }

    /**
     * Takes a hold on what a request asks for, loading it when it is not in memory. The future fails with a {@link RuntimeFault} when there is no
     * adapter of a name, it cannot be used, or it did not come in time; who cancels it waits no longer, and what nobody waits for is not loaded.
     *
     * @param tenant who asks: its own adapters go before shared ones, and others' are not seen
     * @param wanted at least one adapter, each at most once
     * @param patience longest time to wait
     */
    public CompletableFuture<Lease> acquire(String tenant, List<AdapterWeight> wanted, Duration patience) {
        List<Part> parts = new ArrayList<>();
        for (AdapterWeight one : wanted) {
            Part part = resolve(tenant, one.name()).orElse(null);
            if (part == null) {
                return CompletableFuture.failedFuture(Registry.unknown(one.name()));
            }
            if (parts.contains(part)) {
                return CompletableFuture.failedFuture(RuntimeFault.invalid("adapters", "adapter " + one.name() + " is named twice"));
            }
            parts.add(part);
        }
        return acquire(tenant, new Variant.Key(wanted, parts), patience);
    }

    private CompletableFuture<Lease> acquire(String tenant, Variant.Key key, Duration patience) {
        Lease lease = inMemory(key);
        if (lease != null) {
            return CompletableFuture.completedFuture(lease);
        }
        for (Part part : key.parts()) {
            AdapterFailure failure = failures.blocking(part.number(), () -> VersionFiles.stamp(part.version().source()));
            if (failure != null) {
                return CompletableFuture.failedFuture(RuntimeFault.unusable(failure.reason(), Duration.between(Instant.now(), failure.retryAt()), null));
            }
        }
        CompletableFuture<Lease> mine = new CompletableFuture<>();
        Variant variant;
        synchronized (this) {
            variant = variants.computeIfAbsent(key, missing -> new Variant(missing, tenant));
            if (variant.resident != null) {
                return CompletableFuture.completedFuture(lease(variant.resident));
            }
            slots.miss();
            variant.waiters.add(mine);
            waiting++;
            if (!variant.loading) {
                variant.loading = true;
                executor.execute(() -> loads.load(variant, null));
            }
        }
        limit(mine, variant, patience.compareTo(options.longestWait()) < 0 ? patience : options.longestWait());
        return mine;
    }

    private void limit(CompletableFuture<Lease> mine, Variant variant, Duration patience) {
        CompletableFuture<Void> timer = new CompletableFuture<Void>().orTimeout(patience.toMillis(), TimeUnit.MILLISECONDS);
        timer.exceptionally(late -> {
            boolean inLine;
            synchronized (this) {
                inLine = variant.room != null;
            }
            mine.completeExceptionally(late(variant.key.name(), patience, inLine));
            return null;
        });
        mine.whenComplete((lease, failure) -> {
            timer.complete(null);
            if (failure != null) {
                leave(variant, mine);
            }
        });
    }

    private synchronized void leave(Variant variant, CompletableFuture<Lease> mine) {
        if (!variant.waiters.remove(mine)) {
            return;
        }
        waiting--;
        if (variant.waiters.isEmpty() && variant.room != null) {
            variant.room.cancel(false);
            variant.room = null;
            variant.loading = false;
            variants.remove(variant.key, variant);
            slots.serve();
        }
    }

    /** Whether anybody waits for a variant that is being loaded. */
    synchronized boolean wanted(Variant variant) {
        return !variant.waiters.isEmpty();
    }

    private synchronized Lease inMemory(Variant.Key key) {
        Variant variant = variants.get(key);
        if (variant == null || variant.resident == null) {
            return null;
        }
        slots.hit();
        checkNowAndThen(variant);
        return lease(variant.resident);
    }

    private Lease lease(Resident resident) {
        slots.use(resident);
        return new Lease(resident);
    }

    /** Looks, beside the request, whether folders have changed since they were read. */
    private void checkNowAndThen(Variant variant) {
        Resident resident = variant.resident;
        if (!resident.checking && System.nanoTime() - resident.checkedAt >= options.recheck().toNanos()
                && variant.key.parts().stream().anyMatch(part -> part.version().source() instanceof AdapterSource.Folder)) {
            resident.checking = true;
            executor.execute(() -> check(variant, resident));
        }
    }

    private void check(Variant variant, Resident resident) {
        List<Object> stamps = variant.key.parts().stream().map(part -> VersionFiles.stamp(part.version().source())).toList();
        try {
            if (!stamps.equals(resident.stamps)) {
                loads.renew(variant);
            }
        } finally {
            synchronized (this) {
                resident.stamps = stamps;
                resident.checking = false;
                resident.checkedAt = System.nanoTime();
            }
        }
    }

    long deviceBytes() {
        return options.deviceBytes();
    }

    /** Room for a variant, or null: then it stands in line, and its turn comes when there is some. */
    synchronized Room room(Variant variant, long bytes) {
        CompletableFuture<Room> room = slots.room(variant.tenant, bytes, variant.key.name());
        if (room.isDone()) {
            return room.join();
        }
        variant.room = room;
        room.thenAccept(given -> {
            variant.room = null;
            executor.execute(() -> loads.load(variant, given));
        });
        return null;
    }

    /** Waits for room. */
    Room awaitRoom(AdapterId id, long bytes) {
        CompletableFuture<Room> room;
        synchronized (this) {
            room = slots.room(id.owner(), bytes, id.name());
        }
        try {
            return room.get(options.longestWait().toMillis(), TimeUnit.MILLISECONDS);
        } catch (InterruptedException | TimeoutException e) {
            synchronized (this) {
                if (!room.isDone()) {
                    room.cancel(false);
                    slots.serve();
                    throw late(id.name(), options.longestWait(), true);
                }
            }
            return room.join();
        } catch (ExecutionException e) {
            throw fault(e.getCause());
        }
    }

    private static RuntimeFault late(String name, Duration waited, boolean inLine) {
        return RuntimeFault.queueTimeout("adapter " + name + " was waited for " + waited.toMillis() + " ms: "
                + (inLine ? "adapters in use take all the memory there is for them" : "its files have not come yet"), Duration.ofSeconds(1));
    }

    /** Room if there is some now, or null. */
    synchronized Room roomNow(long bytes) {
        return slots.take(bytes);
    }

    /** The room made as large as its adapter turned out to be; null, and the room is as before, where there is not so much. */
    Room fit(Room room, long bytes) {
        Room more = null;
        synchronized (this) {
            if (bytes <= room.bytes()) {
                slots.give(room.bytes() - bytes);
            } else {
                more = slots.take(bytes - room.bytes());
                if (more == null) {
                    return null;
                }
            }
        }
        if (more != null) {
            more.clear();
        }
        return new Room(bytes, List.of());
    }

    void giveBack(Room room) {
        room.clear();
        synchronized (this) {
            slots.give(room.bytes());
        }
    }

    /** Puts what was loaded into service, in its room, for those who wait; what was there under the same key gives way. */
    void admit(Variant asked, Variant.Key key, LoadedAdapter adapter, List<Object> stamps) {
        List<CompletableFuture<Lease>> waiters;
        Resident resident;
        synchronized (this) {
            waiters = List.copyOf(asked.waiters);
            asked.waiters.clear();
            asked.loading = false;
            waiting -= waiters.size();
            variants.remove(asked.key, asked);
            resident = serve(new Variant(key, asked.tenant), adapter, stamps, waiters.size());
            if (asked.removed) {
                variants.remove(key, resident.variant);
                retire(resident.variant);
            }
        }
        for (CompletableFuture<Lease> waiter : waiters) {
            Lease lease = new Lease(resident);
            if (!waiter.complete(lease)) {
                lease.close();
            }
        }
    }

    /** The same, for nobody in particular. */
    synchronized void admit(List<AdapterWeight> wanted, Part part, LoadedAdapter adapter, List<Object> stamps) {
        serve(new Variant(new Variant.Key(wanted, List.of(part)), part.id().owner()), adapter, stamps, 0);
    }

    /** Puts what was read anew into service instead of what was read before, if that still is. */
    void replace(Variant old, Variant.Key key, LoadedAdapter adapter, List<Object> stamps) {
        synchronized (this) {
            if (!old.removed) {
                variants.remove(old.key, old);
                retire(old);
                serve(new Variant(key, old.tenant), adapter, stamps, 0);
                return;
            }
        }
        adapter.close();
        giveBack(new Room(adapter.bytes(), List.of()));
    }

    private Resident serve(Variant variant, LoadedAdapter adapter, List<Object> stamps, int users) {
        Variant before = variants.put(variant.key, variant);
        if (before != null) {
            retire(before);
        }
        variant.resident = new Resident(adapter, variant, stamps);
        for (int i = 0; i < users; i++) {
            slots.use(variant.resident);
        }
        weigh(variant, adapter.bytes());
        slots.settled();
        if (users == 0) {
            slots.rest(variant.resident);
        }
        return variant.resident;
    }

    /** Nobody waits for what is being loaded, or somebody does again. */
    void abandoned(Variant variant) {
        synchronized (this) {
            if (variant.waiters.isEmpty()) {
                variant.loading = false;
                variants.remove(variant.key, variant);
                return;
            }
        }
        executor.execute(() -> loads.load(variant, null));
    }

    void failed(Variant variant, RuntimeFault fault) {
        List<CompletableFuture<Lease>> waiters;
        synchronized (this) {
            waiters = List.copyOf(variant.waiters);
            variant.waiters.clear();
            variant.loading = false;
            waiting -= waiters.size();
            variants.remove(variant.key, variant);
        }
        waiters.forEach(waiter -> waiter.completeExceptionally(fault));
    }

    private void weigh(Variant variant, long delta) {
        if (variant.key.parts().size() == 1) {
            weights.merge(variant.key.parts().getFirst().number(), delta, (a, b) -> a + b == 0 ? null : Long.valueOf(a + b));
        }
    }

    /** Bytes of a version in memory, or -1 when it is not there. */
    synchronized long weight(long number) {
        return weights.getOrDefault(number, -1L);
    }

    /** Takes everything made of an adapter out of service, its weights as soon as nobody uses them. */
    synchronized void retire(AdapterId id) {
        variants.values().removeIf(variant -> {
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

    private void withdraw(Resident resident) {
        resident.variant.resident = null;
        resident.retired = true;
        weigh(resident.variant, -resident.bytes());
    }

    /** Takes out of service what gives way; its room is another's already. */
    private void evict(Resident resident) {
        variants.remove(resident.variant.key, resident.variant);
        resident.variant.removed = true;
        withdraw(resident);
    }

    /** Frees memory on the executor: that takes longer than the step loop, which ends leases, may wait. */
    private void free(Resident resident) {
        executor.execute(() -> {
            resident.adapter.close();
            synchronized (this) {
                slots.gone(resident.bytes());
            }
        });
    }

    static RuntimeFault unusable(String name, IOException e) {
        String reason = e instanceof AdapterFault ? e.getMessage() : e.getClass().getSimpleName() + ": " + e.getMessage();
        return RuntimeFault.of(Kind.ADAPTER_UNUSABLE, "adapter " + name + " cannot be used: " + reason, e);
    }

    public synchronized int loaded() {
        return slots.residents();
    }

    public synchronized long bytes() {
        return slots.used();
    }

    public AdapterTiers tiers() {
        AdapterTiers.Tier onDisk = disk.usage();
        synchronized (this) {
            return new AdapterTiers(onDisk, host.usage(), slots.usage(), waiting);
        }
    }

    /** The fault inside the wrappings of futures. */
    public static RuntimeFault fault(Throwable e) {
        Throwable t = e;
        while (t instanceof CompletionException && t.getCause() != null) {
            t = t.getCause();
        }
        return t instanceof RuntimeFault fault ? fault : RuntimeFault.of(Kind.INTERNAL, "an adapter could not be loaded: " + t, t);
    }

    /** Releases all adapters; none may be in use. */
    @Override
    public void close() throws IOException {
        List<Variant> all;
        synchronized (this) {
            all = List.copyOf(variants.values());
            variants.clear();
        }
        for (Variant variant : all) {
            if (variant.resident != null) {
                variant.resident.adapter.close();
            }
        }
        fetcher.close();
        host.close();
        disk.close();
        registry.close();
    }
}
