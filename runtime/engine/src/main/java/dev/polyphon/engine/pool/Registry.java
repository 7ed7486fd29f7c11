package dev.polyphon.engine.pool;

import dev.polyphon.engine.pool.Registered.Version;
import dev.polyphon.runtime.AdapterId;
import dev.polyphon.runtime.AdapterRegistration;
import dev.polyphon.runtime.AdapterSource;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.runtime.RuntimeFault.Kind;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Instant;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentNavigableMap;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.function.UnaryOperator;

/**
 * The registered adapters of one base: looked up in memory, changed on disk first. Thread-safe; changes are made one after the other.
 */
final class Registry implements AutoCloseable {
    private final String base;
    private final Ledger ledger;
    private final ConcurrentNavigableMap<AdapterId, Registered> live = new ConcurrentSkipListMap<>();
    private final ConcurrentNavigableMap<AdapterId, Registered> removed = new ConcurrentSkipListMap<>();
    private final Set<Long> pinned = ConcurrentHashMap.newKeySet();
    private long lastNumber;

    private Registry(String base, Ledger ledger) throws IOException {
        this.base = base;
        this.ledger = ledger;
        lastNumber = ledger.lastNumber();
        ledger.read(base).forEach(this::index);
    }

    /** @param file the database; null to keep it in memory alone */
    static Registry open(String base, Path file) throws IOException {
        Ledger ledger = Ledger.open(file);
        try {
            return new Registry(base, ledger);
        } catch (IOException | RuntimeException e) {
            ledger.close();
            throw e;
        }
    }

    private void index(Registered one) {
        Registered before = live.get(one.id());
        if (before != null) {
            pinned.remove(before.number());
        }
        if (one.pinned() && one.deleted() == null) {
            pinned.add(one.number());
        }
        (one.deleted() == null ? removed : live).remove(one.id());
        (one.deleted() == null ? live : removed).put(one.id(), one);
    }

    /** Whether a version of this number is the current one of a pinned adapter. */
    boolean pinned(long number) {
        return pinned.contains(number);
    }

    /** Hashes of all versions of all bases. */
    synchronized Set<String> hashes() throws IOException {
        return ledger.hashes("%");
    }

    /** Hashes of those that were uploaded. */
    synchronized Set<String> uploads() throws IOException {
        return ledger.hashes(new AdapterSource.Upload().uri());
    }

    /** Those in service, in order. */
    ConcurrentNavigableMap<AdapterId, Registered> live() {
        return live;
    }

    /** Those that can be restored, in order. */
    ConcurrentNavigableMap<AdapterId, Registered> removed() {
        return removed;
    }

    Registered get(AdapterId id) {
        Registered found = live.get(id);
        if (found == null) {
            throw unknown(id.name());
        }
        return found;
    }

    /** A tenant's own adapter of a name, else the shared one. */
    Optional<Registered> resolve(String tenant, String name) {
        if (!AdapterId.isName(name)) {
            return Optional.empty();
        }
        Registered own = AdapterId.isName(tenant) ? live.get(new AdapterId(tenant, name)) : null;
        return Optional.ofNullable(own != null ? own : live.get(AdapterId.shared(name)));
    }

    /** Registers all or, with a fault, none. What is registered from the same source already stays as it is where replacing is allowed. */
    synchronized List<Registered> add(Map<AdapterRegistration, String> kinds) {
        Map<AdapterId, Registered> all = new LinkedHashMap<>();
        List<Registered> added = new ArrayList<>();
        long number = lastNumber;
        for (var entry : kinds.entrySet()) {
            AdapterRegistration wanted = entry.getKey();
            AdapterId id = wanted.id();
            Registered before = live.get(id);
            if (before != null && !wanted.replace() || all.containsKey(id)) {
                throw taken(id);
            }
            if (before != null && same(before.current(), wanted)) {
                all.put(id, before);
                continue;
            }
            if (before == null) {
                before = removed.get(id);
            }
            var version = new Version(++number, wanted.version() == null ? "" : wanted.version(), entry.getValue(), wanted.source(), Instant.now());
            List<Version> versions = new ArrayList<>(before == null ? List.of() : before.versions());
            versions.add(version);
            var one = new Registered(id, version.number(), versions, wanted.labels(), before != null && before.pinned(), null);
            all.put(id, one);
            added.add(one);
        }
        write(added);
        lastNumber = number;
        return List.copyOf(all.values());
    }

    private static boolean same(Version version, AdapterRegistration wanted) {
        return version.source().equals(wanted.source()) && (wanted.version() == null || wanted.version().equals(version.hash()));
    }

    /**
     * Notes the hash of a version whose files have been read, if the adapter still has it.
     *
     * @param source where these very files are found again
     */
    synchronized void identify(AdapterId id, long number, String hash, String kind, AdapterSource source) {
        Registered one = live.getOrDefault(id, removed.get(id));
        if (one != null && one.versions().stream().anyMatch(version -> version.number() == number && version.hash().isEmpty())) {
            write(List.of(one.withVersions(one.versions().stream().map(version -> version.number() != number ? version
                    : new Version(number, hash, kind, source, version.registered())).toList(), one.number())));
        }
    }

    /** Adds a version with the same source as the current one, whose files have become others, and makes it the current one. */
    synchronized Version renew(AdapterId id, Version old, String hash, String kind) {
        Registered one = get(id);
        Version version = new Version(lastNumber + 1, hash, kind, old.source(), Instant.now());
        List<Version> versions = new ArrayList<>(one.versions());
        versions.add(version);
        write(List.of(one.withVersions(versions, one.number() == old.number() ? version.number() : one.number())));
        lastNumber++;
        return version;
    }

    synchronized Registered change(AdapterId id, UnaryOperator<Registered> change) {
        Registered changed = change.apply(get(id));
        write(List.of(changed));
        return changed;
    }

    synchronized Registered restore(AdapterId id) {
        Registered one = removed.get(id);
        if (one == null) {
            throw unknown(id.name());
        }
        Registered restored = one.withDeleted(null);
        write(List.of(restored));
        return restored;
    }

    /** Forgets one that was removed; returns the hashes of its versions that no other has. */
    synchronized List<String> purge(AdapterId id) throws IOException {
        Registered one = removed.get(id);
        if (one == null) {
            throw unknown(id.name());
        }
        ledger.delete(base, id);
        removed.remove(id);
        Set<String> left = ledger.hashes("%");
        return one.versions().stream().map(Version::hash).filter(hash -> !hash.isEmpty() && !left.contains(hash)).distinct().toList();
    }

    private void write(List<Registered> changed) {
        if (changed.isEmpty()) {
            return;
        }
        List<Ledger.Change> changes = new ArrayList<>();
        for (Registered one : changed) {
            Registered before = live.getOrDefault(one.id(), removed.get(one.id()));
            changes.add(new Ledger.Change(one, before == null ? one.versions()
                    : one.versions().stream().filter(version -> !before.versions().contains(version)).toList()));
        }
        try {
            ledger.write(base, changes);
        } catch (IOException e) {
            throw DiskStore.isFull(e) ? DiskStore.full() : RuntimeFault.of(Kind.INTERNAL, e.getMessage(), e);
        }
        changed.forEach(this::index);
    }

    static RuntimeFault unknown(String name) {
        return RuntimeFault.of(Kind.UNKNOWN_ADAPTER, "adapter " + name + " is not registered");
    }

    static RuntimeFault taken(AdapterId id) {
        return RuntimeFault.of(Kind.CONFLICT, "an adapter named " + id.name() + " is already registered");
    }

    @Override
    public void close() throws IOException {
        ledger.close();
    }
}
