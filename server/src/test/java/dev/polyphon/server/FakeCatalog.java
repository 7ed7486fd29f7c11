package dev.polyphon.server;

import dev.polyphon.runtime.AdapterCatalog;
import dev.polyphon.runtime.AdapterId;
import dev.polyphon.runtime.AdapterInfo;
import dev.polyphon.runtime.AdapterPage;
import dev.polyphon.runtime.AdapterQuery;
import dev.polyphon.runtime.AdapterRegistration;
import dev.polyphon.runtime.AdapterSource;
import dev.polyphon.runtime.AdapterTier;
import dev.polyphon.runtime.AdapterUpload;
import dev.polyphon.runtime.RuntimeFault;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentSkipListMap;

/** Adapters that are names only; a folder without a configuration is refused. */
final class FakeCatalog implements AdapterCatalog {
    private final Map<AdapterId, AdapterInfo> adapters = new ConcurrentSkipListMap<>();
    private final Map<AdapterId, AdapterInfo> removed = new ConcurrentSkipListMap<>();
    private final String base;

    FakeCatalog(String base) {
        this.base = base;
        add("french");
        add("german");
    }

    void add(String name) {
        add(name, base);
    }

    void add(String name, String ofBase) {
        var registration = AdapterRegistration.folder(name, ofBase, Path.of("/adapters", name));
        adapters.put(registration.id(), info(registration, Instant.ofEpochSecond(1_700_000_001), AdapterTier.DISK));
    }

    private static AdapterInfo info(AdapterRegistration of, Instant registered, AdapterTier tier) {
        return new AdapterInfo(of.id(), "", of.base(), "LORA", of.source(), of.labels(), false, registered, null, tier, null, List.of(), 10);
    }

    @Override
    public Optional<AdapterInfo> find(String tenant, String name) {
        if (!AdapterId.isName(name)) {
            return Optional.empty();
        }
        var own = Optional.ofNullable(adapters.get(new AdapterId(tenant, name)));
        return own.isPresent() ? own : Optional.ofNullable(adapters.get(AdapterId.shared(name)));
    }

    @Override
    public AdapterPage list(AdapterQuery query) {
        List<AdapterInfo> found = (query.deleted() ? removed : adapters).values().stream()
                .filter(info -> query.tenant() == null || query.deleted() || find(query.tenant(), info.name()).filter(info::equals).isPresent())
                .filter(info -> query.owner() == null || query.owner().equals(info.owner()))
                .filter(info -> query.token() == null || info.id().toString().compareTo(query.token()) > 0)
                .filter(info -> query.tiers().isEmpty() || query.tiers().contains(info.tier()))
                .limit(query.limit() + 1L)
                .toList();
        return found.size() <= query.limit()
                ? new AdapterPage(found, null)
                : new AdapterPage(found.subList(0, query.limit()), found.get(query.limit() - 1).id().toString());
    }

    @Override
    public int size() {
        return adapters.size();
    }

    @Override
    public CompletableFuture<AdapterInfo> load(AdapterRegistration registration) {
        return CompletableFuture.supplyAsync(() -> {
            if (adapters.containsKey(registration.id()) && !registration.replace()) {
                throw RuntimeFault.of(RuntimeFault.Kind.CONFLICT, "adapter " + registration.id() + " exists");
            }
            return register(registration);
        });
    }

    @Override
    public AdapterInfo register(AdapterRegistration registration) {
        Path folder = ((AdapterSource.Folder) registration.source()).path();
        if (!Files.exists(folder.resolve("adapter_config.json"))) {
            throw RuntimeFault.of(RuntimeFault.Kind.ADAPTER_UNUSABLE, folder.getFileName() + " has no adapter_config.json");
        }
        var info = info(registration, Instant.now(), AdapterTier.LOADED);
        adapters.put(info.id(), info);
        return info;
    }

    /** Files that were sent one by one, as text. */
    public final Map<String, String> sent = new ConcurrentHashMap<>();

    /** Takes archives that say {@code zipped} or {@code tarred}, and files. */
    @Override
    public AdapterUpload upload(AdapterRegistration registration) {
        return new AdapterUpload() {
            @Override
            public void file(String path, InputStream content) throws IOException {
                sent.put(path, new String(content.readAllBytes(), StandardCharsets.UTF_8));
            }

            @Override
            public void zip(InputStream content) throws IOException {
                require("zipped", content);
            }

            @Override
            public void tar(InputStream content) throws IOException {
                require("tarred", content);
            }

            private void require(String text, InputStream content) throws IOException {
                if (!new String(content.readAllBytes(), StandardCharsets.UTF_8).equals(text)) {
                    throw RuntimeFault.invalid("files", "this is no archive");
                }
            }

            @Override
            public AdapterInfo commit() {
                var info = info(registration, Instant.now(), AdapterTier.LOADED);
                adapters.put(info.id(), info);
                return info;
            }

            @Override
            public void close() {}
        };
    }

    @Override
    public void remove(AdapterId id) {
        move(id, adapters, removed);
    }

    @Override
    public void purge(AdapterId id) {
        removed.remove(id);
    }

    /** Each has one. */
    @Override
    public List<AdapterInfo> versions(AdapterId id) {
        return adapters.containsKey(id) ? List.of(adapters.get(id)) : List.of();
    }

    @Override
    public AdapterInfo restore(AdapterId id) {
        return move(id, removed, adapters);
    }

    @Override
    public CompletableFuture<AdapterInfo> load(AdapterId id) {
        return CompletableFuture.completedFuture(adapters.get(id));
    }

    private static AdapterInfo move(AdapterId id, Map<AdapterId, AdapterInfo> from, Map<AdapterId, AdapterInfo> to) {
        AdapterInfo info = from.remove(id);
        if (info == null) {
            throw RuntimeFault.of(RuntimeFault.Kind.UNKNOWN_ADAPTER, "no adapter " + id);
        }
        to.put(id, info);
        return info;
    }

    @Override
    public AdapterInfo pin(AdapterId id, boolean pinned) {
        return adapters.computeIfPresent(id, (key, info) -> new AdapterInfo(id, info.version(), info.base(), info.kind(), info.source(), info.labels(), pinned,
                info.registered(), null, info.tier(), null, info.warnings(), info.bytes()));
    }
}
