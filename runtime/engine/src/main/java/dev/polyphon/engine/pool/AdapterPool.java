package dev.polyphon.engine.pool;

import dev.polyphon.engine.adapter.AdapterFault;
import dev.polyphon.engine.adapter.LoadedAdapter;
import dev.polyphon.engine.adapter.PeftFolder;
import dev.polyphon.engine.model.AdapterWeights;
import dev.polyphon.runtime.AdapterCatalog;
import dev.polyphon.runtime.AdapterInfo;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.runtime.RuntimeFault.Kind;
import dev.polyphon.runtime.RuntimeObserver;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.Executor;

/**
 * The adapters of one base: registered by name, loaded when first wanted, kept while they fit a budget of bytes. Adapters in use are never
 * dropped; of the others the least recently used go first.
 *
 * <p>Thread-safe. Loading happens on the executor; nothing here waits for it.
 */
public final class AdapterPool implements AdapterCatalog, AutoCloseable {

    /** Reads an adapter into memory. */
    @FunctionalInterface
    public interface Loader {
        LoadedAdapter load(String name, PeftFolder folder) throws IOException;
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
                    resident.lastUse = ++clock;
                    settle(resident);
                }
            }
        }
    }

    /** An adapter in memory. Guarded by the pool. */
    private static final class Resident {
        final LoadedAdapter adapter;
        int users;
        long lastUse;
        boolean retired;

        Resident(LoadedAdapter adapter) {
            this.adapter = adapter;
        }
    }

    /** A registered name. Guarded by the pool. */
    private static final class Entry {
        final String name;
        final PeftFolder folder;
        final Path source;
        final Instant registered = Instant.now();
        /** Null while not loaded; coalesces those who want it meanwhile. */
        CompletableFuture<Resident> loading;
        /** How many wait for it: each will hold the adapter. */
        int waiting;
        Resident resident;
        boolean removed;

        Entry(String name, PeftFolder folder, Path source) {
            this.name = name;
            this.folder = folder;
            this.source = source;
        }
    }

    private final String base;
    private final Loader loader;
    private final long budget;
    private final Executor executor;
    private final RuntimeObserver observer;
    private final TreeMap<String, Entry> entries = new TreeMap<>();
    private long clock;
    private long bytes;
    private int loaded;

    /**
     * @param base name of the base model
     * @param budget bytes up to which unused adapters are kept
     * @param executor runs loads, which do I/O
     */
    public AdapterPool(String base, Loader loader, long budget, Executor executor, RuntimeObserver observer) {
        this.base = base;
        this.loader = loader;
        this.budget = budget;
        this.executor = executor;
        this.observer = observer;
    }

    @Override
    public synchronized List<AdapterInfo> list() {
        return entries.values().stream().map(this::info).toList();
    }

    @Override
    public synchronized Optional<AdapterInfo> find(String name) {
        return Optional.ofNullable(entries.get(name)).map(this::info);
    }

    @Override
    public AdapterInfo register(String name, String base, Path folder) {
        checkBase(base);
        Entry entry = open(name, folder);
        synchronized (this) {
            if (entries.containsKey(name)) {
                throw taken(name);
            }
            entries.put(name, entry);
            return info(entry);
        }
    }

    @Override
    public CompletableFuture<AdapterInfo> load(String name, String base, Path folder, boolean replace) {
        return CompletableFuture.supplyAsync(() -> {
            checkBase(base);
            Entry entry;
            synchronized (this) {
                if (!replace && entries.containsKey(name)) {
                    throw taken(name);
                }
            }
            entry = open(name, folder);
            Resident resident = read(entry);
            synchronized (this) {
                Entry before = entries.get(name);
                if (before != null && !replace) {
                    resident.adapter.close();
                    throw taken(name);
                }
                if (before != null) {
                    remove(before);
                }
                entries.put(name, entry);
                admit(entry, resident);
                evict();
                return info(entry);
            }
        }, executor);
    }

    @Override
    public synchronized void unload(String name) {
        Entry entry = entries.remove(name);
        if (entry == null) {
            throw unknown(name);
        }
        remove(entry);
    }

    /**
     * Takes a hold on an adapter, loading it when it is not in memory. The future fails with a {@link RuntimeFault} when there is none of that name
     * or it cannot be used.
     */
    public CompletableFuture<Lease> acquire(String name) {
        CompletableFuture<Resident> loading;
        Entry entry;
        synchronized (this) {
            entry = entries.get(name);
            if (entry == null) {
                return CompletableFuture.failedFuture(unknown(name));
            }
            if (entry.resident != null) {
                entry.resident.users++;
                return CompletableFuture.completedFuture(new Lease(entry.resident));
            }
            entry.waiting++;
            if (entry.loading == null) {
                entry.loading = new CompletableFuture<>();
                Entry wanted = entry;
                executor.execute(() -> loadEntry(wanted));
            }
            loading = entry.loading;
        }
        return loading.thenApply(Lease::new);
    }

    private void loadEntry(Entry entry) {
        Resident resident = null;
        RuntimeException failure = null;
        try {
            resident = read(entry);
        } catch (RuntimeException e) {
            failure = e;
        }
        CompletableFuture<Resident> loading;
        synchronized (this) {
            loading = entry.loading;
            entry.loading = null;
            if (resident != null) {
                admit(entry, resident);
                resident.users = entry.waiting;
                if (entry.removed) {
                    remove(entry);
                }
                evict();
            }
            entry.waiting = 0;
        }
        if (resident != null) {
            loading.complete(resident);
        } else {
            loading.completeExceptionally(failure);
        }
    }

    private Resident read(Entry entry) {
        long start = System.nanoTime();
        try {
            Resident resident = new Resident(loader.load(entry.name, entry.folder));
            observer.adapterLoad(entry.name, Duration.ofNanos(System.nanoTime() - start), true);
            return resident;
        } catch (IOException e) {
            observer.adapterLoad(entry.name, Duration.ofNanos(System.nanoTime() - start), false);
            throw unusable(entry.name, e);
        } catch (RuntimeException | OutOfMemoryError e) {
            observer.adapterLoad(entry.name, Duration.ofNanos(System.nanoTime() - start), false);
            throw RuntimeFault.of(Kind.INTERNAL, "adapter " + entry.name + " could not be loaded: " + e, e);
        }
    }

    private void admit(Entry entry, Resident resident) {
        entry.resident = resident;
        resident.lastUse = ++clock;
        bytes += resident.adapter.bytes();
        loaded++;
    }

    /** Forgets an entry's weights as soon as nobody uses them. */
    private void remove(Entry entry) {
        entry.removed = true;
        if (entry.resident != null) {
            Resident resident = entry.resident;
            entry.resident = null;
            resident.retired = true;
            settle(resident);
        }
    }

    private void settle(Resident resident) {
        if (resident.retired && resident.users == 0) {
            release(resident);
        }
    }

    private void release(Resident resident) {
        bytes -= resident.adapter.bytes();
        loaded--;
        resident.adapter.close();
    }

    private void evict() {
        while (bytes > budget) {
            Entry oldest = null;
            for (Entry entry : entries.values()) {
                if (entry.resident != null && entry.resident.users == 0
                        && (oldest == null || entry.resident.lastUse < oldest.resident.lastUse)) {
                    oldest = entry;
                }
            }
            if (oldest == null) {
                return;
            }
            Resident resident = oldest.resident;
            oldest.resident = null;
            release(resident);
        }
    }

    private static Entry open(String name, Path folder) {
        if (name.isBlank()) {
            throw RuntimeFault.invalid("name", "an adapter's name must not be empty");
        }
        try {
            return new Entry(name, PeftFolder.open(folder), folder);
        } catch (IOException e) {
            throw unusable(name, e);
        }
    }

    private static RuntimeFault unusable(String name, IOException e) {
        String reason = e instanceof AdapterFault ? e.getMessage() : e.getClass().getSimpleName() + ": " + e.getMessage();
        return RuntimeFault.of(Kind.ADAPTER_UNUSABLE, "adapter " + name + " cannot be used: " + reason, e);
    }

    private void checkBase(String wanted) {
        if (!wanted.equals(base)) {
            throw RuntimeFault.of(Kind.UNKNOWN_MODEL, "base model " + wanted + " is not served here");
        }
    }

    private static RuntimeFault unknown(String name) {
        return RuntimeFault.of(Kind.UNKNOWN_ADAPTER, "adapter " + name + " is not registered");
    }

    private static RuntimeFault taken(String name) {
        return RuntimeFault.of(Kind.CONFLICT, "an adapter named " + name + " is already registered");
    }

    private AdapterInfo info(Entry entry) {
        Resident resident = entry.resident;
        return new AdapterInfo(entry.name, base, entry.folder.kind(), entry.source, entry.registered, resident != null,
                resident == null ? 0 : resident.adapter.bytes());
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
    public synchronized void close() {
        entries.values().forEach(this::remove);
        entries.clear();
    }
}
