package dev.polyphon.runtime;

import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;

/** The adapters a runtime knows, by name. Reading and loading happen off the step loop. */
public interface AdapterCatalog {

    /** All adapters, in the order of their names. */
    List<AdapterInfo> list();

    Optional<AdapterInfo> find(String name);

    /**
     * Registers the adapter in a folder for a base and loads it, so that a folder that cannot be used is refused here.
     *
     * @param replace whether a registered adapter of that name gives way to this one (its requests in flight finish on the old)
     * @return the entry, or a {@link RuntimeFault}: {@code CONFLICT} for a taken name, {@code ADAPTER_UNUSABLE} with the reason
     */
    CompletableFuture<AdapterInfo> load(String name, String base, Path folder, boolean replace);

    /**
     * Registers without loading; the first request that names the adapter loads it. The folder's configuration is read, and a folder that is
     * no adapter is refused.
     */
    AdapterInfo register(String name, String base, Path folder);

    /** Forgets an adapter for new requests; those in flight finish. A {@link RuntimeFault} says when there is none of that name. */
    void unload(String name);
}
