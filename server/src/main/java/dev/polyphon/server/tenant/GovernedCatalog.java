package dev.polyphon.server.tenant;

import dev.polyphon.runtime.AdapterCatalog;
import dev.polyphon.runtime.AdapterId;
import dev.polyphon.runtime.AdapterInfo;
import dev.polyphon.runtime.AdapterPage;
import dev.polyphon.runtime.AdapterQuery;
import dev.polyphon.runtime.AdapterRegistration;
import dev.polyphon.runtime.AdapterUpload;
import dev.polyphon.runtime.RuntimeFault;
import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;

/** Adapters as tenants have them: only those they may use are there for them, and what they own is held to their limits. */
final class GovernedCatalog implements AdapterCatalog {
    private static final int PAGE = 1000;

    private final AdapterCatalog catalog;
    private final Tenants tenants;
    /** Adapters that are being registered for their owners and may not be in the catalogue yet. */
    private final Set<AdapterId> coming = new HashSet<>();

    GovernedCatalog(AdapterCatalog catalog, Tenants tenants) {
        this.catalog = catalog;
        this.tenants = tenants;
    }

    private boolean mayUse(String tenant, AdapterInfo adapter) {
        if (!adapter.id().isShared()) {
            return true;
        }
        Account account = tenants.find(tenant).orElse(null);
        return account == null || account.tenant().adapters().matches(adapter.name());
    }

    @Override
    public Optional<AdapterInfo> find(String tenant, String name) {
        return catalog.find(tenant, name).filter(adapter -> mayUse(tenant, adapter));
    }

    /** Goes on where pages were thinned out, up to the page asked for. */
    @Override
    public AdapterPage list(AdapterQuery query) {
        if (query.tenant() == null) {
            return catalog.list(query);
        }
        List<AdapterInfo> found = new ArrayList<>();
        AdapterPage page;
        AdapterQuery rest = query;
        do {
            page = catalog.list(first(rest, query.limit() - found.size()));
            page.adapters().stream().filter(adapter -> mayUse(query.tenant(), adapter)).forEach(found::add);
            rest = query.from(page.next());
        } while (page.next() != null && found.size() < query.limit());
        return new AdapterPage(found, page.next());
    }

    private static AdapterQuery first(AdapterQuery query, int limit) {
        return new AdapterQuery(query.tenant(), query.owner(), query.prefix(), query.labels(), query.tiers(), query.failed(), query.deleted(), limit, query.token());
    }

    @Override
    public int size() {
        return catalog.size();
    }

    @Override
    public List<AdapterInfo> versions(AdapterId id) {
        return catalog.versions(id);
    }

    @Override
    public AdapterInfo register(AdapterRegistration registration) {
        take(registration.id());
        try {
            return catalog.register(registration);
        } finally {
            taken(registration.id());
        }
    }

    @Override
    public void register(List<AdapterRegistration> registrations) {
        registrations.forEach(registration -> take(registration.id()));
        try {
            catalog.register(registrations);
        } finally {
            registrations.forEach(registration -> taken(registration.id()));
        }
    }

    @Override
    public CompletableFuture<AdapterInfo> load(AdapterRegistration registration) {
        take(registration.id());
        try {
            return catalog.load(registration).whenComplete((_, _) -> taken(registration.id()));
        } catch (RuntimeException e) {
            taken(registration.id());
            throw e;
        }
    }

    /** Makes room for an adapter of a tenant, or throws. */
    private void take(AdapterId id) {
        Limits limits = tenants.find(id.owner()).map(account -> account.tenant().limits()).orElse(null);
        if (limits == null) {
            if (!id.isShared()) {
                throw RuntimeFault.invalid("owner", "there is no tenant '" + id.owner() + "'");
            }
            return;
        }
        synchronized (coming) {
            Set<AdapterId> owned = new HashSet<>(coming);
            owned.removeIf(one -> !one.owner().equals(id.owner()));
            long bytes = 0;
            AdapterQuery query = new AdapterQuery(null, id.owner(), "", Map.of(), Set.of(), false, false, PAGE, null);
            AdapterPage page;
            do {
                page = catalog.list(query);
                for (AdapterInfo adapter : page.adapters()) {
                    owned.add(adapter.id());
                    bytes += adapter.bytes();
                }
                query = query.from(page.next());
            } while (page.next() != null);
            owned.remove(id);
            if (limits.adapters() != Limits.NONE && owned.size() >= limits.adapters()) {
                throw RuntimeFault.of(RuntimeFault.Kind.FORBIDDEN, "the tenant '" + id.owner() + "' may own " + limits.adapters() + " adapters, and owns " + owned.size());
            }
            if (limits.adapterBytes() != Limits.NONE && bytes >= limits.adapterBytes()) {
                throw RuntimeFault.of(RuntimeFault.Kind.FORBIDDEN, "the adapters of the tenant '" + id.owner() + "' may take " + limits.adapterBytes()
                        + " bytes, and take " + bytes);
            }
            coming.add(id);
        }
    }

    private void taken(AdapterId id) {
        synchronized (coming) {
            coming.remove(id);
        }
    }

    @Override
    public CompletableFuture<AdapterInfo> load(AdapterId id) {
        return catalog.load(id);
    }

    @Override
    public void unload(AdapterId id) {
        catalog.unload(id);
    }

    @Override
    public AdapterUpload upload(AdapterRegistration registration) {
        take(registration.id());
        try {
            return new Upload(catalog.upload(registration), () -> taken(registration.id()));
        } catch (RuntimeException e) {
            taken(registration.id());
            throw e;
        }
    }

    /** An upload whose place is kept until it is closed. */
    private record Upload(AdapterUpload upload, Runnable closed) implements AdapterUpload {
        @Override
        public void file(String path, InputStream content) throws IOException {
            upload.file(path, content);
        }

        @Override
        public void zip(InputStream content) throws IOException {
            upload.zip(content);
        }

        @Override
        public void tar(InputStream content) throws IOException {
            upload.tar(content);
        }

        @Override
        public AdapterInfo commit() throws IOException {
            return upload.commit();
        }

        @Override
        public void close() {
            upload.close();
            closed.run();
        }
    }

    @Override
    public void remove(AdapterId id) {
        catalog.remove(id);
    }

    @Override
    public void purge(AdapterId id) {
        catalog.purge(id);
    }

    @Override
    public AdapterInfo restore(AdapterId id) {
        take(id);
        try {
            return catalog.restore(id);
        } finally {
            taken(id);
        }
    }

    @Override
    public AdapterInfo move(AdapterId id, String version) {
        return catalog.move(id, version);
    }

    @Override
    public AdapterInfo label(AdapterId id, Map<String, String> labels) {
        return catalog.label(id, labels);
    }

    @Override
    public AdapterInfo pin(AdapterId id, boolean pinned) {
        return catalog.pin(id, pinned);
    }
}
