package dev.polyphon.engine.pool;

import dev.polyphon.engine.adapter.AdapterFolder;
import dev.polyphon.engine.pool.AdapterPool.Part;
import dev.polyphon.engine.pool.AdapterPool.Read;
import dev.polyphon.engine.pool.Registered.Version;
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
import java.io.IOException;
import java.time.Instant;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;

/** What others see and do of a pool's adapters. */
final class PoolCatalog implements AdapterCatalog {
    private final String base;
    private final Registry registry;
    private final AdapterPool pool;
    private final Failures failures;
    private final Executor executor;

    PoolCatalog(String base, Registry registry, AdapterPool pool, Failures failures, Executor executor) {
        this.base = base;
        this.registry = registry;
        this.pool = pool;
        this.failures = failures;
        this.executor = executor;
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
            return add(wanted, AdapterFolder.open(((AdapterSource.Folder) wanted.source()).path()).kind());
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
            AdapterId id = wanted.id();
            if (!wanted.replace() && registry.live().containsKey(id)) {
                throw Registry.taken(id);
            }
            List<AdapterWeight> asked = List.of(new AdapterWeight(id.name(), 1, firstTask(wanted)));
            Read read = pool.read(asked, List.of(new Part(id, new Version(0, "", "", wanted.source(), Instant.now()))));
            String hash = read.hashes().getFirst();
            try {
                if (wanted.version() != null && !wanted.version().equals(hash)) {
                    throw RuntimeFault.of(Kind.ADAPTER_UNUSABLE, "adapter " + id.name() + " cannot be used: its files have the hash " + hash + ", not "
                            + wanted.version());
                }
                AdapterInfo added = add(new AdapterRegistration(id, base, wanted.source(), wanted.labels(), hash, wanted.replace()), read.kinds().getFirst());
                pool.retire(id);
                Registered one = registry.get(id);
                pool.admit(asked, new Part(id, one.current()), read.resident());
                return info(one, one.current().hash().equals(added.version()) ? one.current() : one.version(added.version()).orElseThrow());
            } catch (RuntimeException e) {
                read.resident().adapter.close();
                throw e;
            }
        }, executor);
    }

    /** A task to try an adapter of several with. */
    private static String firstTask(AdapterRegistration wanted) {
        try {
            return AdapterFolder.open(((AdapterSource.Folder) wanted.source()).path()).tasks().stream().findFirst().orElse(null);
        } catch (IOException e) {
            throw AdapterPool.unusable(wanted.id().name(), e);
        }
    }

    @Override
    public CompletableFuture<AdapterInfo> load(AdapterId id) {
        failures.clear(registry.get(id).number());
        return pool.acquire(id.owner(), List.of(new AdapterWeight(id.name()))).thenApply(lease -> {
            lease.close();
            return info(registry.get(id));
        });
    }

    @Override
    public void unload(AdapterId id) {
        registry.get(id);
        pool.retire(id);
    }

    @Override
    public void remove(AdapterId id) {
        registry.change(id, one -> one.withDeleted(Instant.now()));
        pool.retire(id);
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
        if (pinned) {
            load(id);
        }
        return info(one);
    }

    private void check(AdapterRegistration wanted) {
        if (!wanted.base().equals(base)) {
            throw RuntimeFault.of(Kind.UNKNOWN_MODEL, "base model " + wanted.base() + " is not served here");
        }
        if (!(wanted.source() instanceof AdapterSource.Folder)) {
            throw RuntimeFault.of(Kind.UNSUPPORTED, "only folders can be registered here, found " + wanted.source().uri());
        }
    }

    private AdapterInfo info(Registered one) {
        return info(one, one.current());
    }

    private AdapterInfo info(Registered one, Version version) {
        long weight = pool.weight(version.number());
        return new AdapterInfo(one.id(), version.hash(), base, version.kind(), version.source(), one.labels(), one.pinned(), version.registered(),
                one.deleted(), weight >= 0 ? AdapterTier.LOADED : AdapterTier.DISK, failures.get(version.number()), Math.max(0, weight));
    }
}
