package dev.polyphon.engine.pool;

import dev.polyphon.engine.adapter.AdapterFault;
import dev.polyphon.engine.adapter.AdapterFolder;
import dev.polyphon.engine.adapter.AdapterPart;
import dev.polyphon.engine.adapter.LoadedAdapter;
import dev.polyphon.engine.model.AdapterWeights;
import dev.polyphon.engine.pool.Registered.Version;
import dev.polyphon.runtime.AdapterCatalog;
import dev.polyphon.runtime.AdapterFailure;
import dev.polyphon.runtime.AdapterId;
import dev.polyphon.runtime.AdapterSource;
import dev.polyphon.runtime.AdapterWeight;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.runtime.RuntimeFault.Kind;
import dev.polyphon.runtime.RuntimeObserver;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.Executor;
import java.util.stream.Collectors;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The adapters of one base in memory: loaded when first wanted, kept while they fit a budget of bytes. What is loaded is what requests ask for: an
 * adapter, one task of it, or a weighted mix of several. What is in use is never dropped; of the rest the least recently used goes first, pinned ones never.
 *
 * <p>A folder whose files have changed is read anew beside what is loaded from it; requests get the new version when that is ready, and stay with the one
 * they have.
 *
 * <p>Thread-safe. Loading happens on the executor; nothing here waits for it.
 */
public final class AdapterPool implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(AdapterPool.class);

    /** Reads what a request asks for into memory. */
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

        @Override
        public void close() {
            synchronized (AdapterPool.this) {
                if (!closed) {
                    closed = true;
                    resident.users--;
                    if (resident.users == 0 && !resident.retired) {
                        idle.add(resident.variant);
                    }
                    settle(resident);
                    evict();
                }
            }
        }
    }

    /** An adapter in memory. Guarded by the pool. */
    static final class Resident {
        final LoadedAdapter adapter;
        /** Of the folders it was read from. */
        List<Object> stamps;
        boolean renewing;
        Variant variant;
        int users;
        boolean retired;

        Resident(LoadedAdapter adapter, List<Object> stamps) {
            this.adapter = adapter;
            this.stamps = stamps;
        }
    }

    /** A version of an adapter. */
    record Part(AdapterId id, long number, Version version) {
        Part(AdapterId id, Version version) {
            this(id, version.number(), version);
        }

        Path folder() {
            return ((AdapterSource.Folder) version.source()).path();
        }

        /** By number: the hash and kind of a version become known later. */
        @Override
        public boolean equals(Object other) {
            return other instanceof Part part && part.number == number && part.id.equals(id);
        }

        @Override
        public int hashCode() {
            return Long.hashCode(number);
        }
    }

    /** What is asked for, and of which versions. */
    private record Key(List<AdapterWeight> wanted, List<Part> parts) {}

    /** What requests ask for. Guarded by the pool. */
    private static final class Variant {
        Key key;
        /** Null while not loading; coalesces those who want it meanwhile. */
        CompletableFuture<Resident> loading;
        /** How many wait for it: each will hold it. */
        int waiting;
        Resident resident;
        boolean removed;

        Variant(Key key) {
            this.key = key;
        }
    }

    /** What was read, and of which versions. */
    record Read(Resident resident, List<Part> parts, List<String> hashes, List<String> kinds) {}

    private final Registry registry;
    private final Failures failures = new Failures();
    private final Loader loader;
    private final long budget;
    private final Executor executor;
    private final RuntimeObserver observer;
    private final AdapterCatalog catalog;
    private final Map<Key, Variant> variants = new HashMap<>();
    /** Bytes in memory of each version by itself. */
    private final Map<Long, Long> weights = new HashMap<>();
    /** Those in memory that nobody uses, the least recently used first. */
    private final LinkedHashSet<Variant> idle = new LinkedHashSet<>();
    private long bytes;
    private int loaded;

    /**
     * @param base name of the base model
     * @param store folder that keeps what is registered; null to forget it at the end
     * @param budget bytes up to which unused adapters are kept
     * @param executor runs loads, which do I/O
     */
    public AdapterPool(String base, Path store, Loader loader, long budget, Executor executor, RuntimeObserver observer) throws IOException {
        this.registry = Registry.open(base, store == null ? null : store.resolve("adapters.db"));
        this.loader = loader;
        this.budget = budget;
        this.executor = executor;
        this.observer = observer;
        this.catalog = new PoolCatalog(base, registry, this, failures, executor);
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

    /** The files of an adapter that a tenant names. */
    public AdapterFolder folder(String tenant, String name) throws IOException {
        return AdapterFolder.open(resolve(tenant, name).orElseThrow(() -> Registry.unknown(name)).folder());
    }

    /**
     * Takes a hold on what a request asks for, loading it when it is not in memory. The future fails with a {@link RuntimeFault} when there is no
     * adapter of a name, or it cannot be used. Looks at folders, so that it is not for event loops.
     *
     * @param tenant who asks: its own adapters go before shared ones, and others' are not seen
     * @param wanted at least one adapter, each at most once
     */
    public CompletableFuture<Lease> acquire(String tenant, List<AdapterWeight> wanted) {
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
        return acquire(new Key(List.copyOf(wanted), List.copyOf(parts)));
    }

    private CompletableFuture<Lease> acquire(Key key) {
        List<Object> stamps = stamps(key.parts);
        CompletableFuture<Resident> loading;
        synchronized (this) {
            Variant variant = variants.get(key);
            if (variant != null && variant.resident != null) {
                renewIfChanged(variant, stamps);
                idle.remove(variant);
                variant.resident.users++;
                return CompletableFuture.completedFuture(new Lease(variant.resident));
            }
            for (int i = 0; i < stamps.size(); i++) {
                AdapterFailure failure = failures.blocking(key.parts.get(i).number, stamps.get(i));
                if (failure != null) {
                    return CompletableFuture.failedFuture(RuntimeFault.unusable(failure.reason(), Duration.between(Instant.now(), failure.retryAt()), null));
                }
            }
            if (variant == null) {
                variant = new Variant(key);
                variants.put(key, variant);
            }
            variant.waiting++;
            if (variant.loading == null) {
                variant.loading = new CompletableFuture<>();
                Variant missing = variant;
                executor.execute(() -> load(missing));
            }
            loading = variant.loading;
        }
        return loading.thenApply(Lease::new);
    }

    private static List<Object> stamps(List<Part> parts) {
        return parts.stream().<Object>map(part -> Content.stamp(part.folder())).toList();
    }

    private void renewIfChanged(Variant variant, List<Object> stamps) {
        Resident resident = variant.resident;
        if (!resident.renewing && !resident.stamps.equals(stamps)) {
            resident.renewing = true;
            executor.execute(() -> renew(variant, resident, stamps));
        }
    }

    /** Reads changed folders again; what they held before stays in service until that has succeeded. */
    private void renew(Variant old, Resident resident, List<Object> stamps) {
        Read read = null;
        try {
            read = read(old.key.wanted, old.key.parts);
            List<Part> parts = confirm(read);
            synchronized (this) {
                if (!old.removed && !parts.equals(old.key.parts)) {
                    variants.remove(old.key, old);
                    retire(old);
                    admit(new Key(old.key.wanted, parts), read.resident);
                    read = null;
                }
            }
        } catch (RuntimeException e) {
            LOG.warn("a changed adapter is not taken over, the one before stays: {}", fault(e).getMessage());
        } finally {
            synchronized (this) {
                resident.stamps = stamps;
                resident.renewing = false;
            }
            if (read != null) {
                read.resident.adapter.close();
            }
        }
    }

    private void load(Variant variant) {
        Read read = null;
        List<Part> parts = variant.key.parts;
        RuntimeException failure = null;
        try {
            read = read(variant.key.wanted, parts);
            parts = confirm(read);
        } catch (RuntimeException e) {
            failure = fault(e);
            if (read != null) {
                read.resident.adapter.close();
            }
        }
        CompletableFuture<Resident> loading;
        synchronized (this) {
            loading = variant.loading;
            variant.loading = null;
            variants.remove(variant.key, variant);
            if (failure == null) {
                read.resident.users = variant.waiting;
                Variant admitted = admit(new Key(variant.key.wanted, parts), read.resident);
                if (variant.removed) {
                    variants.remove(admitted.key, admitted);
                    retire(admitted);
                }
            }
        }
        if (failure == null) {
            loading.complete(read.resident);
        } else {
            loading.completeExceptionally(failure);
        }
    }

    /** Reads versions into memory, with what tells them. */
    Read read(List<AdapterWeight> wanted, List<Part> parts) {
        String name = parts.stream().map(part -> part.id.name()).collect(Collectors.joining("+"));
        List<Object> stamps = stamps(parts);
        long start = System.nanoTime();
        boolean success = false;
        try {
            List<AdapterPart> folders = new ArrayList<>();
            List<String> hashes = new ArrayList<>();
            List<String> kinds = new ArrayList<>();
            for (int i = 0; i < parts.size(); i++) {
                hashes.add(Content.hash(parts.get(i).folder()));
                AdapterFolder folder = AdapterFolder.open(parts.get(i).folder());
                kinds.add(folder.kind());
                folders.add(new AdapterPart(wanted.get(i).name(), folder, wanted.get(i).task(), wanted.get(i).weight()));
            }
            LoadedAdapter adapter = loader.load(folders);
            if (!stamps(parts).equals(stamps)) {
                adapter.close();
                throw new AdapterFault("its files changed while they were read");
            }
            success = true;
            parts.forEach(part -> failures.clear(part.number));
            return new Read(new Resident(adapter, stamps), parts, hashes, kinds);
        } catch (IOException e) {
            RuntimeFault fault = unusable(name, e);
            if (parts.size() == 1 && wanted.getFirst().weight() == 1 && wanted.getFirst().task() == null) {
                failures.add(parts.getFirst().number, fault.getMessage(), stamps.getFirst());
            }
            throw fault;
        } catch (RuntimeException | OutOfMemoryError e) {
            throw RuntimeFault.of(Kind.INTERNAL, "adapter " + name + " could not be loaded: " + e, e);
        } finally {
            observer.adapterLoad(name, Duration.ofNanos(System.nanoTime() - start), success);
        }
    }

    /** Notes the hashes of what was read; where a folder's files have become others, that is a new version. */
    private List<Part> confirm(Read read) {
        List<Part> confirmed = new ArrayList<>();
        for (int i = 0; i < read.parts.size(); i++) {
            Part part = read.parts.get(i);
            String hash = read.hashes.get(i);
            Registered one = registry.live().get(part.id);
            Version known = one == null ? null : one.versions().stream().filter(v -> v.number() == part.number).findFirst().orElse(null);
            if (known == null || known.hash().equals(hash)) {
                confirmed.add(part);
            } else if (known.hash().isEmpty()) {
                registry.identify(part.id, part.number, hash, read.kinds.get(i));
                confirmed.add(part);
            } else if (one.number() == part.number) {
                confirmed.add(new Part(part.id, registry.renew(part.id, known, hash, read.kinds.get(i))));
            } else {
                throw RuntimeFault.of(Kind.ADAPTER_UNUSABLE, "adapter " + part.id.name() + ": the folder no longer holds version " + known.hash());
            }
        }
        return confirmed;
    }

    /** Puts something in memory into service; what was there under the same key gives way. */
    synchronized void admit(List<AdapterWeight> wanted, Part part, Resident resident) {
        admit(new Key(List.copyOf(wanted), List.of(part)), resident);
    }

    private Variant admit(Key key, Resident resident) {
        Variant variant = new Variant(key);
        Variant before = variants.put(key, variant);
        if (before != null) {
            if (before.loading != null) {
                // Its waiters get what they wait for, and it goes when they are done.
                before.removed = true;
            }
            retire(before);
        }
        variant.resident = resident;
        resident.variant = variant;
        if (resident.users == 0) {
            idle.add(variant);
        }
        bytes += resident.adapter.bytes();
        loaded++;
        weigh(variant, resident.adapter.bytes());
        evict();
        return variant;
    }

    private void weigh(Variant variant, long delta) {
        if (variant.key.parts.size() == 1) {
            weights.merge(variant.key.parts.getFirst().number, delta, (a, b) -> a + b == 0 ? null : Long.valueOf(a + b));
        }
    }

    /** Bytes of a version in memory, or -1 when it is not there. */
    synchronized long weight(long number) {
        return weights.getOrDefault(number, -1L);
    }

    /** Takes everything made of an adapter out of service, its weights as soon as nobody uses them. */
    synchronized void retire(AdapterId id) {
        variants.values().removeIf(variant -> {
            if (variant.key.parts.stream().noneMatch(part -> part.id.equals(id))) {
                return false;
            }
            retire(variant);
            return variant.loading == null;
        });
    }

    private void retire(Variant variant) {
        variant.removed = true;
        if (variant.resident != null) {
            Resident resident = variant.resident;
            variant.resident = null;
            idle.remove(variant);
            resident.retired = true;
            weigh(variant, -resident.adapter.bytes());
            settle(resident);
        }
    }

    private void settle(Resident resident) {
        if (resident.retired && resident.users == 0) {
            bytes -= resident.adapter.bytes();
            loaded--;
            resident.adapter.close();
        }
    }

    private void evict() {
        while (bytes > budget) {
            Optional<Variant> oldest = idle.stream().filter(variant -> variant.key.parts.stream().noneMatch(this::pinned)).findFirst();
            if (oldest.isEmpty()) {
                return;
            }
            variants.remove(oldest.get().key, oldest.get());
            retire(oldest.get());
        }
    }

    private boolean pinned(Part part) {
        Registered one = registry.live().get(part.id);
        return one != null && one.pinned() && one.number() == part.number;
    }

    static RuntimeFault unusable(String name, IOException e) {
        String reason = e instanceof AdapterFault ? e.getMessage() : e.getClass().getSimpleName() + ": " + e.getMessage();
        return RuntimeFault.of(Kind.ADAPTER_UNUSABLE, "adapter " + name + " cannot be used: " + reason, e);
    }

    public synchronized int loaded() {
        return loaded;
    }

    public synchronized long bytes() {
        return bytes;
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
        synchronized (this) {
            variants.values().forEach(this::retire);
            variants.clear();
        }
        registry.close();
    }
}
