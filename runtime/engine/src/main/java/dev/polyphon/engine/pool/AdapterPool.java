package dev.polyphon.engine.pool;

import dev.polyphon.engine.adapter.AdapterFault;
import dev.polyphon.engine.adapter.AdapterFolder;
import dev.polyphon.engine.adapter.AdapterPart;
import dev.polyphon.engine.adapter.LoadedAdapter;
import dev.polyphon.engine.model.AdapterWeights;
import dev.polyphon.runtime.AdapterCatalog;
import dev.polyphon.runtime.AdapterId;
import dev.polyphon.runtime.AdapterInfo;
import dev.polyphon.runtime.AdapterPage;
import dev.polyphon.runtime.AdapterQuery;
import dev.polyphon.runtime.AdapterRegistration;
import dev.polyphon.runtime.AdapterSource;
import dev.polyphon.runtime.AdapterTier;
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
    private record Entry(AdapterId id, AdapterFolder folder, AdapterSource source, Map<String, String> labels, Instant registered) {
        String name() {
            return id.name();
        }
    }

    /** What is asked for, and of which adapters. */
    private record Key(List<AdapterWeight> wanted, List<Entry> entries) {}

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

        Key key() {
            return new Key(wanted, entries);
        }
    }

    private final String base;
    private final Loader loader;
    private final long budget;
    private final Executor executor;
    private final RuntimeObserver observer;
    private final TreeMap<AdapterId, Entry> entries = new TreeMap<>();
    private final Map<Key, Variant> variants = new HashMap<>();
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
    public synchronized Optional<AdapterInfo> find(String tenant, String name) {
        return Optional.ofNullable(resolve(tenant, name)).map(this::info);
    }

    /** A tenant's own adapter of a name, else the shared one, or null. */
    private Entry resolve(String tenant, String name) {
        if (!AdapterId.isName(name)) {
            return null;
        }
        Entry own = AdapterId.isName(tenant) ? entries.get(new AdapterId(tenant, name)) : null;
        return own != null ? own : entries.get(AdapterId.shared(name));
    }

    @Override
    public synchronized AdapterPage list(AdapterQuery query) {
        List<AdapterInfo> found = entries.values().stream()
                .filter(entry -> query.token() == null || entry.id.toString().compareTo(query.token()) > 0)
                .filter(entry -> query.tenant() == null || resolve(query.tenant(), entry.name()) == entry)
                .limit(query.limit() + 1L)
                .map(this::info).toList();
        return found.size() <= query.limit()
                ? new AdapterPage(found, null)
                : new AdapterPage(found.subList(0, query.limit()), found.get(query.limit() - 1).id().toString());
    }

    @Override
    public synchronized int size() {
        return entries.size();
    }

    @Override
    public AdapterInfo register(AdapterRegistration wanted) {
        checkBase(wanted.base());
        Entry entry = open(wanted);
        synchronized (this) {
            if (entries.containsKey(entry.id)) {
                throw taken(entry.id);
            }
            entries.put(entry.id, entry);
            return info(entry);
        }
    }

    @Override
    public CompletableFuture<AdapterInfo> load(AdapterRegistration wanted) {
        AdapterId id = wanted.id();
        return CompletableFuture.supplyAsync(() -> {
            checkBase(wanted.base());
            synchronized (this) {
                if (!wanted.replace() && entries.containsKey(id)) {
                    throw taken(id);
                }
            }
            Entry entry = open(wanted);
            Variant variant = new Variant(List.of(new AdapterWeight(id.name(), 1, firstTask(entry))), List.of(entry));
            Resident resident = read(variant);
            synchronized (this) {
                if (entries.containsKey(id)) {
                    if (!wanted.replace()) {
                        resident.adapter.close();
                        throw taken(id);
                    }
                    remove(entries.get(id));
                }
                entries.put(id, entry);
                variants.put(variant.key(), variant);
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
            throw unusable(entry.name(), e);
        }
    }

    @Override
    public synchronized void remove(AdapterId id) {
        Entry entry = entries.remove(id);
        if (entry == null) {
            throw unknown(id.name());
        }
        remove(entry);
    }

    /**
     * Takes a hold on what a request asks for, loading it when it is not in memory. The future fails with a {@link RuntimeFault} when there is no
     * adapter of a name, or it cannot be used.
     *
     * @param tenant who asks: its own adapters go before shared ones, and others' are not seen
     * @param wanted at least one adapter, each at most once
     */
    public CompletableFuture<Lease> acquire(String tenant, List<AdapterWeight> wanted) {
        CompletableFuture<Resident> loading;
        synchronized (this) {
            List<Entry> parts = new ArrayList<>();
            for (AdapterWeight part : wanted) {
                Entry entry = resolve(tenant, part.name());
                if (entry == null) {
                    return CompletableFuture.failedFuture(unknown(part.name()));
                }
                if (parts.contains(entry)) {
                    return CompletableFuture.failedFuture(RuntimeFault.invalid("adapters", "adapter " + part.name() + " is named twice"));
                }
                parts.add(entry);
            }
            Variant variant = variants.computeIfAbsent(new Key(List.copyOf(wanted), List.copyOf(parts)), key -> new Variant(key.wanted, key.entries));
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
                variants.remove(variant.key(), variant);
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
    private void remove(Entry entry) {
        variants.values().removeIf(variant -> {
            boolean gone = variant.entries.contains(entry);
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
            variants.remove(oldest.key());
            retire(oldest);
        }
    }

    private static Entry open(AdapterRegistration wanted) {
        if (!(wanted.source() instanceof AdapterSource.Folder folder)) {
            throw RuntimeFault.invalid("source", "only folders can be registered, found " + wanted.source().uri());
        }
        try {
            return new Entry(wanted.id(), AdapterFolder.open(folder.path()), folder, wanted.labels(), Instant.now());
        } catch (IOException e) {
            throw unusable(wanted.id().name(), e);
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

    private static RuntimeFault taken(AdapterId id) {
        return RuntimeFault.of(Kind.CONFLICT, "an adapter named " + id.name() + " is already registered");
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
        return new AdapterInfo(entry.id, "", base, entry.folder.kind(), entry.source, entry.labels, false, entry.registered, null,
                inMemory ? AdapterTier.LOADED : AdapterTier.DISK, null, weight);
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
