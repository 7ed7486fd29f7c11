package dev.polyphon.server;

import dev.polyphon.runtime.AdapterCatalog;
import dev.polyphon.runtime.AdapterInfo;
import dev.polyphon.runtime.RuntimeFault;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentSkipListMap;

/** Adapters that are names only; a folder without a configuration is refused. */
final class FakeCatalog implements AdapterCatalog {
    private final Map<String, AdapterInfo> adapters = new ConcurrentSkipListMap<>();
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
        adapters.put(name, new AdapterInfo(name, ofBase, "LORA", Path.of("/adapters", name), Instant.ofEpochSecond(1_700_000_001), false, 0));
    }

    @Override
    public List<AdapterInfo> list() {
        return List.copyOf(adapters.values());
    }

    @Override
    public Optional<AdapterInfo> find(String name) {
        return Optional.ofNullable(adapters.get(name));
    }

    @Override
    public CompletableFuture<AdapterInfo> load(String name, String ofBase, Path folder, boolean replace) {
        return CompletableFuture.supplyAsync(() -> {
            if (adapters.containsKey(name) && !replace) {
                throw RuntimeFault.of(RuntimeFault.Kind.CONFLICT, "adapter " + name + " exists");
            }
            return register(name, ofBase, folder);
        });
    }

    @Override
    public AdapterInfo register(String name, String ofBase, Path folder) {
        if (!Files.exists(folder.resolve("adapter_config.json"))) {
            throw RuntimeFault.of(RuntimeFault.Kind.ADAPTER_UNUSABLE, folder.getFileName() + " has no adapter_config.json");
        }
        var info = new AdapterInfo(name, ofBase, "LORA", folder, Instant.now(), true, 10);
        adapters.put(name, info);
        return info;
    }

    @Override
    public void unload(String name) {
        if (adapters.remove(name) == null) {
            throw RuntimeFault.of(RuntimeFault.Kind.UNKNOWN_ADAPTER, "no adapter " + name);
        }
    }
}
