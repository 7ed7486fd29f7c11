package dev.polyphon.engine.replica;

import dev.polyphon.runtime.AdapterCatalog;
import dev.polyphon.runtime.AdapterId;
import dev.polyphon.runtime.AdapterInfo;
import dev.polyphon.runtime.AdapterPage;
import dev.polyphon.runtime.AdapterQuery;
import dev.polyphon.runtime.AdapterRegistration;
import dev.polyphon.runtime.AdapterUpload;
import dev.polyphon.runtime.AdapterWeight;
import dev.polyphon.runtime.RuntimeFault;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Several catalogs that hold the same adapters. What is asked is answered by the first; what changes is changed there and then, if that went well, in the
 * others. One of these that cannot follow is logged, and left out of requests for the adapter ({@link #knowing}) until it has it again.
 */
final class ReplicatedCatalog implements AdapterCatalog {
    private static final Logger LOG = LoggerFactory.getLogger(ReplicatedCatalog.class);

    private final AdapterCatalog first;
    private final List<AdapterCatalog> others;

    ReplicatedCatalog(List<AdapterCatalog> catalogs) {
        first = catalogs.getFirst();
        others = catalogs.subList(1, catalogs.size());
    }

    /** The replicas that would serve a tenant what the first one would by these names; the first alone when it does not know them. */
    List<Integer> knowing(String tenant, List<AdapterWeight> adapters) {
        List<Integer> able = new ArrayList<>(IntStream.rangeClosed(0, others.size()).boxed().toList());
        for (AdapterWeight adapter : adapters) {
            AdapterInfo wanted = first.find(tenant, adapter.name()).orElse(null);
            able.removeIf(i -> i > 0 && (wanted == null || !others.get(i - 1).find(tenant, adapter.name()).filter(info -> same(info, wanted)).isPresent()));
        }
        return able;
    }

    /** A folder's version is not known before it has been read. */
    private static boolean same(AdapterInfo a, AdapterInfo b) {
        return a.id().equals(b.id()) && a.source().getClass() == b.source().getClass()
                && (a.version().equals(b.version()) || a.version().isEmpty() || b.version().isEmpty());
    }

    private void follow(String what, Consumer<AdapterCatalog> change) {
        for (int i = 0; i < others.size(); i++) {
            try {
                change.accept(others.get(i));
            } catch (RuntimeFault e) {
                LOG.warn("replica {} could not follow ({}): {}", i + 1, what, e.getMessage());
            }
        }
    }

    @Override
    public Optional<AdapterInfo> find(String tenant, String name) {
        return first.find(tenant, name);
    }

    @Override
    public AdapterPage list(AdapterQuery query) {
        return first.list(query);
    }

    @Override
    public int size() {
        return first.size();
    }

    @Override
    public List<AdapterInfo> versions(AdapterId id) {
        return first.versions(id);
    }

    @Override
    public AdapterInfo register(AdapterRegistration registration) {
        AdapterInfo info = first.register(registration);
        follow("register " + registration.id(), catalog -> catalog.register(registration.replacing(true)));
        return info;
    }

    @Override
    public void register(List<AdapterRegistration> registrations) {
        first.register(registrations);
        List<AdapterRegistration> replacing = registrations.stream().map(one -> one.replacing(true)).toList();
        follow("register " + registrations.size() + " adapters", catalog -> catalog.register(replacing));
    }

    /** The others load it when the first request comes that they are to serve. */
    @Override
    public CompletableFuture<AdapterInfo> load(AdapterRegistration registration) {
        return first.load(registration).thenApply(info -> {
            follow("load " + registration.id(), catalog -> catalog.register(registration.replacing(true)));
            return info;
        });
    }

    @Override
    public CompletableFuture<AdapterInfo> load(AdapterId id) {
        return first.load(id);
    }

    @Override
    public void unload(AdapterId id) {
        first.unload(id);
        follow("unload " + id, catalog -> catalog.unload(id));
    }

    @Override
    public AdapterUpload upload(AdapterRegistration registration) {
        return new ReplicatedUpload(first.upload(registration), () -> others.stream().map(catalog -> catalog.upload(registration.replacing(true))).toList());
    }

    @Override
    public void remove(AdapterId id) {
        first.remove(id);
        follow("remove " + id, catalog -> catalog.remove(id));
    }

    @Override
    public void purge(AdapterId id) {
        first.purge(id);
        follow("purge " + id, catalog -> catalog.purge(id));
    }

    @Override
    public AdapterInfo restore(AdapterId id) {
        AdapterInfo info = first.restore(id);
        follow("restore " + id, catalog -> catalog.restore(id));
        return info;
    }

    @Override
    public AdapterInfo move(AdapterId id, String version) {
        AdapterInfo info = first.move(id, version);
        follow("move " + id, catalog -> catalog.move(id, info.version()));
        return info;
    }

    @Override
    public AdapterInfo label(AdapterId id, Map<String, String> labels) {
        AdapterInfo info = first.label(id, labels);
        follow("label " + id, catalog -> catalog.label(id, labels));
        return info;
    }

    @Override
    public AdapterInfo pin(AdapterId id, boolean pinned) {
        AdapterInfo info = first.pin(id, pinned);
        follow("pin " + id, catalog -> catalog.pin(id, pinned));
        return info;
    }
}
