package dev.polyphon.engine.pool;

import dev.polyphon.engine.adapter.AdapterFault;
import dev.polyphon.engine.adapter.AdapterFolder;
import dev.polyphon.engine.adapter.AdapterPart;
import dev.polyphon.engine.adapter.LoadedAdapter;
import dev.polyphon.engine.backend.MemoryBudget;
import dev.polyphon.engine.model.AdapterWeights;
import dev.polyphon.engine.pool.Variants.Joined;
import dev.polyphon.engine.pool.source.Fetcher;
import dev.polyphon.runtime.AdapterCatalog;
import dev.polyphon.runtime.AdapterId;
import dev.polyphon.runtime.AdapterSource;
import dev.polyphon.runtime.AdapterTiers;
import dev.polyphon.runtime.AdapterWeight;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.runtime.RuntimeFault.Kind;
import dev.polyphon.runtime.RuntimeObserver;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;

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

    /** A hold on an adapter's weights: until it is loosened or closed they stay in memory. Thread-safe. */
    public static final class Lease implements AutoCloseable {
        private enum State { HELD, LOOSE, CLOSED }

        private final Variants variants;
        private final Resident resident;
        private State state = State.HELD;

        Lease(Variants variants, Resident resident) {
            this.variants = variants;
            this.resident = resident;
        }

        public AdapterWeights weights() {
            return resident.adapter.weights();
        }

        Resident resident() {
            return resident;
        }

        /** What was asked for. */
        public List<AdapterWeight> wanted() {
            return resident.variant.key.wanted();
        }

        /** A tenant that finds the same by asking for the same; empty when every tenant does. */
        public String owner() {
            return resident.variant.key.parts().stream().map(part -> part.id().owner()).filter(owner -> !owner.isEmpty()).findFirst().orElse(AdapterId.SHARED);
        }

        /** Whether requests that ask for the same get something else by now, or nothing. */
        public boolean retired() {
            return variants.retired(resident);
        }

        /** Notes whether requests get it merged into a copy of the base's weights, for who asks where an adapter is. */
        public void merged(boolean value) {
            variants.merged(resident.variant, value);
        }

        /** From now on the weights may give way to tenants that have less kept for them; they must not be used. */
        public synchronized void loosen() {
            if (state == State.HELD) {
                state = State.LOOSE;
                variants.loosen(resident);
            }
        }

        /** Holds on to the weights again; when that is too late, returns false and is closed. Does not wait. */
        public synchronized boolean fasten() {
            if (state == State.LOOSE) {
                state = variants.fasten(resident) ? State.HELD : State.CLOSED;
            }
            return state == State.HELD;
        }

        synchronized boolean fastened() {
            return state == State.HELD;
        }

        /** Frees nothing itself, so that it may be called by who must not wait. */
        @Override
        public synchronized void close() {
            switch (state) {
                case HELD -> variants.release(resident);
                case LOOSE -> variants.forgo(resident);
                case CLOSED -> {}
            }
            state = State.CLOSED;
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
    /** Guarded by the variants. */
    private final Slots slots;
    private final Variants variants;

    /** A pool whose memory nobody shares. */
    public AdapterPool(String base, PoolOptions options, Loader loader, Executor executor, RuntimeObserver observer) throws IOException {
        this(base, options, new MemoryBudget(0).account(options.deviceBytes()), loader, executor, observer);
    }

    /**
     * @param base name of the base model
     * @param memory what adapters take of the memory where the model computes
     * @param executor runs loads, which wait for files
     */
    public AdapterPool(String base, PoolOptions options, MemoryBudget.Account memory, Loader loader, Executor executor, RuntimeObserver observer)
            throws IOException {
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
        VersionFiles files = new VersionFiles(disk, fetcher, observer);
        host = new HostTier(files, options.hostBytes(), registry::pinned);
        slots = new Slots(memory, options.eviction(), resident -> resident.variant.key.parts().stream().anyMatch(part -> registry.pinned(part.number())),
                options.turnTime());
        variants = new Variants(executor, slots);
        memory.listen(new MemoryBudget.Listener() {
            @Override
            public void pressed() {
                executor.execute(variants::vacate);
            }

            @Override
            public void room() {
                executor.execute(variants::serve);
            }
        });
        Rooms rooms = new Rooms(variants, slots, executor, options.longestWait());
        loads = new Loads(new Loads.Files(host, files), variants, rooms, registry, failures, loader, executor, observer);
        catalog = new PoolCatalog(base, options, registry, this, failures, executor, new PoolCatalog.Tiers(fetcher, disk, host), loads, rooms, variants);
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

    /** Takes a hold once more on what a lease was for: what was asked for or, where that stands for nothing any more, the versions that it stood for. */
    public CompletableFuture<Lease> again(Lease lost, String tenant, Duration patience) {
        boolean there = lost.wanted().stream().allMatch(one -> resolve(tenant, one.name()).isPresent());
        return there ? acquire(tenant, lost.wanted(), patience) : acquire(tenant, lost.resident.variant.key, patience);
    }

    private CompletableFuture<Lease> acquire(String tenant, Variant.Key key, Duration patience) {
        Lease lease = variants.hold(key);
        if (lease != null) {
            checkNowAndThen(lease.resident());
            return CompletableFuture.completedFuture(lease);
        }
        for (Part part : key.parts()) {
            Failures.Blocked blocked = failures.blocking(part.number(), () -> VersionFiles.stamp(part.version().source()));
            if (blocked != null) {
                return CompletableFuture.failedFuture(RuntimeFault.unusable(blocked.reason(), blocked.left(), null));
            }
        }
        CompletableFuture<Lease> mine = new CompletableFuture<>();
        switch (variants.join(key, tenant, mine)) {
            case Joined.Here(Lease here) -> mine.complete(here);
            case Joined.Awaited(Variant variant, boolean first) -> {
                if (first) {
                    executor.execute(() -> loads.load(variant, null));
                }
                limit(mine, variant, patience.compareTo(options.longestWait()) < 0 ? patience : options.longestWait());
            }
        }
        return mine;
    }

    private void limit(CompletableFuture<Lease> mine, Variant variant, Duration patience) {
        CompletableFuture<Void> timer = new CompletableFuture<Void>().orTimeout(patience.toMillis(), TimeUnit.MILLISECONDS);
        timer.exceptionally(late -> {
            mine.completeExceptionally(Rooms.late(variant.key.name(), patience, variants.inLine(variant)));
            return null;
        });
        mine.whenComplete((lease, failure) -> {
            timer.complete(null);
            if (failure != null) {
                variants.leave(variant, mine);
            }
        });
    }

    /** Looks, beside the request, whether folders have changed since they were read. */
    private void checkNowAndThen(Resident resident) {
        Variant variant = resident.variant;
        synchronized (variants) {
            if (resident.checking || System.nanoTime() - resident.checkedAt < options.recheck().toNanos()
                    || variant.key.parts().stream().noneMatch(part -> part.version().source() instanceof AdapterSource.Folder)) {
                return;
            }
            resident.checking = true;
        }
        executor.execute(() -> check(variant, resident));
    }

    private void check(Variant variant, Resident resident) {
        List<Object> stamps = variant.key.parts().stream().map(part -> VersionFiles.stamp(part.version().source())).toList();
        try {
            if (!stamps.equals(resident.stamps)) {
                loads.renew(variant);
            }
        } finally {
            synchronized (variants) {
                resident.stamps = stamps;
                resident.checking = false;
                resident.checkedAt = System.nanoTime();
            }
        }
    }

    static RuntimeFault unusable(String name, IOException e) {
        String reason = e instanceof AdapterFault ? e.getMessage() : e.getClass().getSimpleName() + ": " + e.getMessage();
        return RuntimeFault.of(Kind.ADAPTER_UNUSABLE, "adapter " + name + " cannot be used: " + reason, e);
    }

    public int loaded() {
        synchronized (variants) {
            return slots.residents();
        }
    }

    public long bytes() {
        synchronized (variants) {
            return slots.used();
        }
    }

    public AdapterTiers tiers() {
        AdapterTiers.Tier onDisk = disk.usage();
        synchronized (variants) {
            return new AdapterTiers(onDisk, host.usage(), slots.usage(), variants.waiting());
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
        variants.close();
        fetcher.close();
        host.close();
        disk.close();
        registry.close();
    }
}
