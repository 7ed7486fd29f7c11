package dev.polyphon.engine.pool;

import dev.polyphon.engine.adapter.AdapterFolder;
import dev.polyphon.engine.pool.Loads.Built;
import dev.polyphon.engine.pool.Loads.Images;
import dev.polyphon.engine.pool.Registered.Version;
import dev.polyphon.engine.pool.source.Fetcher;
import dev.polyphon.runtime.AdapterCatalog;
import dev.polyphon.runtime.AdapterId;
import dev.polyphon.runtime.AdapterInfo;
import dev.polyphon.runtime.AdapterPage;
import dev.polyphon.runtime.AdapterQuery;
import dev.polyphon.runtime.AdapterRegistration;
import dev.polyphon.runtime.AdapterSource;
import dev.polyphon.runtime.AdapterTier;
import dev.polyphon.runtime.AdapterUpload;
import dev.polyphon.runtime.AdapterWeight;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.runtime.RuntimeFault.Kind;
import dev.polyphon.runtime.Scheduling;
import java.io.IOException;
import java.time.Instant;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.Executor;

/** What others see and do of a pool's adapters. */
final class PoolCatalog implements AdapterCatalog {
    private final String base;
    private final PoolOptions options;
    private final Registry registry;
    private final AdapterPool pool;
    private final Failures failures;
    private final Executor executor;
    private final Tiers tiers;
    private final Loads loads;
    private final Rooms rooms;
    private final Variants variants;

    /** Held while files get their place and then are registered, so that they are not taken for those of an adapter that is purged meanwhile. */
    private final Object keeping = new Object();

    /** What adapters pass through on their way to the model. */
    record Tiers(Fetcher fetcher, DiskStore disk, HostTier host) {}

    PoolCatalog(String base, PoolOptions options, Registry registry, AdapterPool pool, Failures failures, Executor executor, Tiers tiers, Loads loads,
            Rooms rooms, Variants variants) {
        this.base = base;
        this.options = options;
        this.registry = registry;
        this.pool = pool;
        this.failures = failures;
        this.executor = executor;
        this.tiers = tiers;
        this.loads = loads;
        this.rooms = rooms;
        this.variants = variants;
    }

    @Override
    public Optional<AdapterInfo> find(String tenant, String name) {
        return pool.resolve(tenant, name).flatMap(part -> Optional.ofNullable(registry.live().get(part.id())).map(one -> info(one, part.version())));
    }

    @Override
    public AdapterPage list(AdapterQuery query) {
        var all = query.deleted() ? registry.removed() : registry.live();
        String from = query.token() == null || query.token().compareTo(query.prefix()) < 0 ? query.prefix() : query.token();
        int of = from.indexOf(' ');
        String name = of < 0 ? from : from.substring(0, of);
        var tail = AdapterId.isName(name) ? all.tailMap(AdapterId.shared(name)) : all;
        List<AdapterInfo> found = tail.values().stream()
                .takeWhile(one -> one.id().name().startsWith(query.prefix()) || one.id().name().compareTo(query.prefix()) < 0)
                .filter(one -> one.id().name().startsWith(query.prefix()))
                .filter(one -> query.token() == null || one.id().toString().compareTo(query.token()) > 0)
                .filter(one -> query.owner() == null || query.owner().equals(one.id().owner()))
                .filter(one -> query.tenant() == null || visible(query, one))
                .filter(one -> one.labels().entrySet().containsAll(query.labels().entrySet()))
                .map(this::info)
                .filter(info -> query.tiers().isEmpty() || query.tiers().contains(info.tier()))
                .filter(info -> !query.failed() || info.failure() != null)
                .limit(query.limit() + 1L)
                .toList();
        return found.size() <= query.limit()
                ? new AdapterPage(found, null)
                : new AdapterPage(found.subList(0, query.limit()), found.get(query.limit() - 1).id().toString());
    }

    private boolean visible(AdapterQuery query, Registered one) {
        return query.deleted() ? one.id().isShared() || one.id().owner().equals(query.tenant())
                : registry.resolve(query.tenant(), one.id().name()).filter(mine -> mine.id().equals(one.id())).isPresent();
    }

    @Override
    public int size() {
        return registry.live().size();
    }

    @Override
    public List<AdapterInfo> versions(AdapterId id) {
        Registered one = registry.live().getOrDefault(id, registry.removed().get(id));
        if (one == null) {
            throw Registry.unknown(id.name());
        }
        return one.versions().reversed().stream().map(version -> info(one, version)).toList();
    }

    @Override
    public AdapterInfo register(AdapterRegistration wanted) {
        check(wanted);
        try {
            return add(wanted, wanted.source() instanceof AdapterSource.Folder folder ? AdapterFolder.open(folder.path()).kind() : "");
        } catch (IOException e) {
            throw AdapterPool.unusable(wanted.id().name(), e);
        }
    }

    private AdapterInfo add(AdapterRegistration wanted, String kind) {
        return info(registry.add(Map.of(wanted, kind)).getFirst());
    }

    @Override
    public void register(List<AdapterRegistration> registrations) {
        Map<AdapterRegistration, String> all = new LinkedHashMap<>();
        for (AdapterRegistration one : registrations) {
            check(one);
            all.put(one, "");
        }
        registry.add(all);
    }

    @Override
    public CompletableFuture<AdapterInfo> load(AdapterRegistration wanted) {
        return CompletableFuture.supplyAsync(() -> {
            check(wanted);
            String hash = wanted.version() == null ? "" : wanted.version();
            Part part = new Part(wanted.id(), new Version(0, hash, "", wanted.source(), Instant.now()));
            try (Images images = loads.reopen(List.of(part))) {
                return install(wanted, images, () -> {});
            } catch (IOException e) {
                throw AdapterPool.unusable(wanted.id().name(), e);
            }
        }, executor);
    }

    @Override
    public AdapterUpload upload(AdapterRegistration wanted) {
        checkBase(wanted);
        checkFree(wanted);
        try {
            return new PoolUpload(wanted, tiers.disk.arrival(), options.uploadBytes(), this, loads);
        } catch (IOException e) {
            throw RuntimeFault.of(Kind.INTERNAL, "the upload cannot be received: " + e, e);
        }
    }

    /** What makes files durable, before a version is registered that has them. */
    @FunctionalInterface
    interface Keeping {
        void keep() throws IOException;
    }

    /** Registers an adapter when it has turned out to work: nothing is seen of one that does not. */
    AdapterInfo install(AdapterRegistration wanted, Images images, Keeping files) throws IOException {
        checkFree(wanted);
        AdapterId id = wanted.id();
        Image image = images.all.getFirst();
        if (wanted.version() != null && !wanted.version().equals(image.hash())) {
            throw RuntimeFault.of(Kind.ADAPTER_UNUSABLE, "adapter " + id.name() + " cannot be used: its files have the hash " + image.hash() + ", not "
                    + wanted.version());
        }
        List<AdapterWeight> asked = List.of(new AdapterWeight(id.name(), 1, image.folder().tasks().stream().findFirst().orElse(null)));
        Built built = loads.build(asked, images, null, bytes -> rooms.await(id, bytes));
        try {
            AdapterInfo added;
            synchronized (keeping) {
                files.keep();
                added = add(new AdapterRegistration(id, base, image.source(), wanted.labels(), image.hash(), wanted.replace()), image.folder().kind());
            }
            variants.retire(id);
            Registered one = registry.get(id);
            Version version = one.current().hash().equals(added.version()) ? one.current() : one.version(added.version()).orElseThrow();
            failures.clear(version.number());
            tiers.host.put(version.number(), image);
            variants.admit(asked, new Part(id, version), built.adapter(), images.stamps());
            return info(one, version);
        } catch (IOException | RuntimeException e) {
            loads.release(built.adapter(), built.room());
            throw e;
        }
    }

    @Override
    public CompletableFuture<AdapterInfo> load(AdapterId id) {
        failures.clear(registry.get(id).number());
        return hold(id, null)
                .exceptionallyCompose(failure -> wantsTask(failure)
                        ? CompletableFuture.supplyAsync(() -> firstTask(id), executor).thenCompose(task -> hold(id, task)) : CompletableFuture.failedFuture(failure))
                .thenApply(lease -> {
                    lease.close();
                    return info(registry.get(id));
                });
    }

    private CompletableFuture<AdapterPool.Lease> hold(AdapterId id, String task) {
        return pool.acquire(id.owner(), List.of(new AdapterWeight(id.name(), 1, task)), Scheduling.NO_LIMIT);
    }

    /** Whether nothing is wrong but that no task was named. */
    private static boolean wantsTask(Throwable failure) {
        Throwable cause = failure instanceof CompletionException wrapped ? wrapped.getCause() : failure;
        return cause instanceof RuntimeFault fault && fault.kind() == Kind.INVALID && fault.param().filter("task"::equals).isPresent();
    }

    /** The first of a multi-task adapter's tasks, which stands for it where none is named. */
    private String firstTask(AdapterId id) {
        Registered one = registry.get(id);
        try (Images images = loads.open(List.of(new Part(id, one.current())), () -> true)) {
            return images.all.getFirst().folder().tasks().stream().findFirst().orElse(null);
        } catch (IOException e) {
            throw AdapterPool.unusable(id.name(), e);
        }
    }

    @Override
    public void unload(AdapterId id) {
        registry.get(id);
        variants.retire(id);
    }

    @Override
    public void remove(AdapterId id) {
        Registered removed = registry.change(id, one -> one.withDeleted(Instant.now()));
        variants.retire(id);
        removed.versions().forEach(version -> tiers.host.drop(version.number()));
    }

    @Override
    public void purge(AdapterId id) {
        synchronized (keeping) {
            try {
                for (String hash : registry.purge(id)) {
                    tiers.disk.release(hash);
                }
            } catch (IOException e) {
                throw DiskStore.isFull(e) ? DiskStore.full() : RuntimeFault.of(Kind.INTERNAL, "adapter " + id.name() + " cannot be purged: " + e.getMessage(), e);
            }
        }
    }

    @Override
    public AdapterInfo restore(AdapterId id) {
        return info(registry.restore(id));
    }

    @Override
    public AdapterInfo move(AdapterId id, String version) {
        Version to = registry.get(id).version(version)
                .orElseThrow(() -> RuntimeFault.invalid("version", "adapter " + id.name() + " has no version " + version));
        return info(registry.change(id, before -> before.withVersions(before.versions(), to.number())));
    }

    @Override
    public AdapterInfo label(AdapterId id, Map<String, String> labels) {
        return info(registry.change(id, before -> before.withLabels(labels)));
    }

    @Override
    public AdapterInfo pin(AdapterId id, boolean pinned) {
        Registered one = registry.change(id, before -> before.withPinned(pinned));
        tiers.host.weigh(one.number());
        if (pinned) {
            load(id);
        }
        return info(one);
    }

    private void check(AdapterRegistration wanted) {
        checkBase(wanted);
        if (wanted.source() instanceof AdapterSource.Upload) {
            throw RuntimeFault.invalid("source", "an upload is registered when its files have been sent");
        }
        tiers.fetcher.check(wanted.source());
    }

    private void checkBase(AdapterRegistration wanted) {
        if (!wanted.base().equals(base)) {
            throw RuntimeFault.of(Kind.UNKNOWN_MODEL, "base model " + wanted.base() + " is not served here");
        }
    }

    private void checkFree(AdapterRegistration wanted) {
        if (!wanted.replace() && registry.live().containsKey(wanted.id())) {
            throw Registry.taken(wanted.id());
        }
    }

    private AdapterInfo info(Registered one) {
        return info(one, one.current());
    }

    private AdapterInfo info(Registered one, Version version) {
        long weight = variants.weight(version.number());
        return new AdapterInfo(one.id(), version.hash(), base, version.kind(), version.source(), one.labels(), one.pinned(), version.registered(),
                one.deleted(), tier(version, weight), failures.get(version.number()), variants.warnings(version.number()), Math.max(0, weight));
    }

    private AdapterTier tier(Version version, long weight) {
        if (variants.merged(version.number())) {
            return AdapterTier.MERGED;
        }
        if (weight >= 0) {
            return AdapterTier.LOADED;
        }
        if (tiers.host.contains(version.number())) {
            return AdapterTier.HOST;
        }
        if (version.source() instanceof AdapterSource.Folder || tiers.disk.contains(version.hash())) {
            return AdapterTier.DISK;
        }
        return tiers.host.fetching(version.number()) ? AdapterTier.FETCHING : AdapterTier.REGISTERED;
    }
}
