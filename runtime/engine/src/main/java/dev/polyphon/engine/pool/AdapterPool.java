package dev.polyphon.engine.pool;

import dev.polyphon.engine.adapter.AdapterFault;
import dev.polyphon.engine.adapter.AdapterFolder;
import dev.polyphon.engine.adapter.AdapterPart;
import dev.polyphon.engine.adapter.LoadedAdapter;
import dev.polyphon.engine.model.AdapterWeights;
import dev.polyphon.runtime.AdapterCatalog;
import dev.polyphon.runtime.AdapterInfo;
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
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.Executor;
import java.util.stream.Collectors;

/**
 * The adapters of one base: registered by name, loaded when first wanted, kept while they fit a budget of bytes. What is loaded is what requests ask
 * for: an adapter, one task of it, or a weighted mix of several. What is in use is never dropped; of the rest the least recently used goes first.
 *
 * <p>Thread-safe. Loading happens on the executor; nothing here waits for it.
 */
public final class AdapterPool implements AdapterCatalog, AutoCloseable {

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

    /** A registered name. */
    private record Entry(String name, AdapterFolder folder, Path source, Instant registered) {}

    /** What requests ask for, made of registered adapters as they were then. Guarded by the pool. */
    private static final class Variant {
        final List<AdapterWeight> wanted;
        final List<Entry> entries;
        /** Null while not loading; coalesces those who want it meanwhile. */
        CompletableFuture<Resident> loading;
        /** How many wait for it: each will hold it. */
        int waiting;
        Resident resident;
        boolean removed;

        Variant(List<AdapterWeight> wanted, List<Entry> entries) {
            this.wanted = wanted;
            this.entries = entries;
        }
    }

    private final String base;
    private final Loader loader;
    private final long budget;
    private final Executor executor;
    private final RuntimeObserver observer;
    private final TreeMap<String, Entry> entries = new TreeMap<>();
    private final Map<List<AdapterWeight>, Variant> variants = new HashMap<>();
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
            synchronized (this) {
                if (!replace && entries.containsKey(name)) {
                    throw taken(name);
                }
            }
            Entry entry = open(name, folder);
            Variant variant = new Variant(List.of(new AdapterWeight(name, 1, firstTask(entry))), List.of(entry));
            Resident resident = read(variant);
            synchronized (this) {
                if (entries.containsKey(name)) {
                    if (!replace) {
                        resident.adapter.close();
                        throw taken(name);
                    }
                    remove(name);
                }
                entries.put(name, entry);
                variants.put(variant.wanted, variant);
                admit(variant, resident);
                evict();
                return info(entry);
            }
        }, executor);
    }

    /** A task to try an adapter of several with. */
    private static String firstTask(Entry entry) {
        try {
            return entry.folder.tasks().stream().findFirst().orElse(null);
        } catch (IOException e) {
            throw unusable(entry.name, e);
        }
    }

    @Override
    public synchronized void unload(String name) {
        if (entries.remove(name) == null) {
            throw unknown(name);
        }
        remove(name);
    }

    /**
     * Takes a hold on what a request asks for, loading it when it is not in memory. The future fails with a {@link RuntimeFault} when there is no
     * adapter of a name, or it cannot be used.
     *
     * @param wanted at least one adapter, each at most once
     */
    public CompletableFuture<Lease> acquire(List<AdapterWeight> wanted) {
        CompletableFuture<Resident> loading;
        synchronized (this) {
            Variant variant = variants.get(wanted);
            if (variant == null) {
                List<Entry> parts = new ArrayList<>();
                for (AdapterWeight part : wanted) {
                    Entry entry = entries.get(part.name());
                    if (entry == null) {
                        return CompletableFuture.failedFuture(unknown(part.name()));
                    }
                    if (parts.contains(entry)) {
                        return CompletableFuture.failedFuture(RuntimeFault.invalid("adapters", "adapter " + part.name() + " is named twice"));
                    }
                    parts.add(entry);
                }
                variant = new Variant(List.copyOf(wanted), List.copyOf(parts));
                variants.put(variant.wanted, variant);
            }
            if (variant.resident != null) {
                variant.resident.users++;
                return CompletableFuture.completedFuture(new Lease(variant.resident));
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

    private void load(Variant variant) {
        Resident resident = null;
        RuntimeException failure = null;
        try {
            resident = read(variant);
        } catch (RuntimeException e) {
            failure = e;
        }
        CompletableFuture<Resident> loading;
        synchronized (this) {
            loading = variant.loading;
            variant.loading = null;
            if (resident != null) {
                admit(variant, resident);
                resident.users = variant.waiting;
                if (variant.removed) {
                    retire(variant);
                }
                evict();
            } else {
                variants.remove(variant.wanted, variant);
            }
            variant.waiting = 0;
        }
        if (resident != null) {
            loading.complete(resident);
        } else {
            loading.completeExceptionally(failure);
        }
    }

    private Resident read(Variant variant) {
        String name = variant.entries.stream().map(Entry::name).collect(Collectors.joining("+"));
        List<AdapterPart> parts = new ArrayList<>();
        for (int i = 0; i < variant.wanted.size(); i++) {
            AdapterWeight wanted = variant.wanted.get(i);
            parts.add(new AdapterPart(wanted.name(), variant.entries.get(i).folder, wanted.task(), wanted.weight()));
        }
        long start = System.nanoTime();
        boolean read = false;
        try {
            Resident resident = new Resident(loader.load(parts));
            read = true;
            return resident;
        } catch (IOException e) {
            throw unusable(name, e);
        } catch (RuntimeException | OutOfMemoryError e) {
            throw RuntimeFault.of(Kind.INTERNAL, "adapter " + name + " could not be loaded: " + e, e);
        } finally {
            observer.adapterLoad(name, Duration.ofNanos(System.nanoTime() - start), read);
        }
    }

    private void admit(Variant variant, Resident resident) {
        variant.resident = resident;
        resident.lastUse = ++clock;
        bytes += resident.adapter.bytes();
        loaded++;
    }

    /** Forgets everything made of an adapter, its weights as soon as nobody uses them. */
    private void remove(String name) {
        variants.values().removeIf(variant -> {
            boolean gone = variant.entries.stream().anyMatch(entry -> entry.name.equals(name));
            if (gone) {
                retire(variant);
            }
            return gone;
        });
    }

    private void retire(Variant variant) {
        variant.removed = true;
        if (variant.resident != null) {
            Resident resident = variant.resident;
            variant.resident = null;
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
            Variant oldest = null;
            for (Variant variant : variants.values()) {
                if (variant.resident != null && variant.resident.users == 0
                        && (oldest == null || variant.resident.lastUse < oldest.resident.lastUse)) {
                    oldest = variant;
                }
            }
            if (oldest == null) {
                return;
            }
            variants.remove(oldest.wanted);
            retire(oldest);
        }
    }

    private static Entry open(String name, Path folder) {
        if (name.isBlank()) {
            throw RuntimeFault.invalid("name", "an adapter's name must not be empty");
        }
        try {
            return new Entry(name, AdapterFolder.open(folder), folder, Instant.now());
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
        long weight = 0;
        boolean inMemory = false;
        for (Variant variant : variants.values()) {
            if (variant.resident != null && variant.entries.size() == 1 && variant.entries.getFirst() == entry) {
                inMemory = true;
                weight += variant.resident.adapter.bytes();
            }
        }
        return new AdapterInfo(entry.name, base, entry.folder.kind(), entry.source, entry.registered, inMemory, weight);
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
        variants.values().forEach(this::retire);
        variants.clear();
        entries.clear();
    }
}
