package dev.polyphon.runtime;

import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;

/**
 * The adapters a runtime knows.
 *
 * <p>An adapter belongs to an owner. Its name is an alias of its current version, and moves to another one in one step: new requests get that, requests
 * in flight finish on the version they began with. Versions are immutable, each known by the hash of its files.
 *
 * <p>{@link #find}, {@link #list}, {@link #versions} and {@link #size} look only at memory and may be called anywhere. The methods that change something
 * return when the change is durable, which may wait for a disk: they are not for event loops. What goes wrong is a {@link RuntimeFault}, among them
 * {@code UNKNOWN_ADAPTER}, {@code CONFLICT} for a name that is taken, {@code INVALID} with the field, and {@code ADAPTER_UNUSABLE} with the reason. A runtime
 * that cannot do what is asked says so with {@code UNSUPPORTED}.
 */
public interface AdapterCatalog {

    /**
     * What a tenant means by a name: its own adapter or else the shared one, never another's. {@code name@version} names a version by its hash, or by the
     * first 8 digits or more of it.
     */
    Optional<AdapterInfo> find(String tenant, String name);

    /** A page of adapters, each with its current version. */
    AdapterPage list(AdapterQuery query);

    /** How many adapters are registered, of all owners together, removed ones not counted. */
    int size();

    /** The versions of an adapter, the newest first; also of one that was removed and can be restored. */
    default List<AdapterInfo> versions(AdapterId id) {
        throw unsupported();
    }

    /**
     * Registers without reading anything: the first request that names the adapter fetches it, or {@link #load(AdapterId)} does. Of a folder the configuration
     * is read, so that one that is no adapter is refused.
     */
    AdapterInfo register(AdapterRegistration registration);

    /** Registers many in one go; all, or with a fault none. What is in their sources is not looked at. */
    default void register(List<AdapterRegistration> registrations) {
        registrations.forEach(this::register);
    }

    /**
     * Brings an adapter into memory and registers it then, so that one that cannot be used is refused here, and a name moves to a new version only
     * when that is ready.
     */
    CompletableFuture<AdapterInfo> load(AdapterRegistration registration);

    /** Brings a registered adapter into memory, for requests to come. A failure remembered from before is forgotten: this tries anew. */
    default CompletableFuture<AdapterInfo> load(AdapterId id) {
        throw unsupported();
    }

    /** Takes an adapter out of memory, as soon as nobody uses it; it stays registered, and the next request loads it again. */
    default void unload(AdapterId id) {
        throw unsupported();
    }

    /** Receives the files of an adapter; the registration's source is {@link AdapterSource.Upload}. */
    default AdapterUpload upload(AdapterRegistration registration) {
        throw unsupported();
    }

    /** Removes an adapter for new requests, with all its versions; those in flight finish. It can be restored. */
    void remove(AdapterId id);

    /** Forgets an adapter that was removed, with its versions and what was uploaded for them. */
    default void purge(AdapterId id) {
        throw unsupported();
    }

    /** Takes back a removal. */
    default AdapterInfo restore(AdapterId id) {
        throw unsupported();
    }

    /** Moves a name to another version of its adapter. */
    default AdapterInfo move(AdapterId id, String version) {
        throw unsupported();
    }

    /** Sets an adapter's labels, all of them. */
    default AdapterInfo label(AdapterId id, Map<String, String> labels) {
        throw unsupported();
    }

    /** Whether an adapter stays in memory while not in use; pinning loads it. */
    default AdapterInfo pin(AdapterId id, boolean pinned) {
        throw unsupported();
    }

    private static RuntimeFault unsupported() {
        return RuntimeFault.of(RuntimeFault.Kind.UNSUPPORTED, "this runtime's adapters are managed elsewhere");
    }
}
