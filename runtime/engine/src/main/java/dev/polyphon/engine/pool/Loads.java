package dev.polyphon.engine.pool;

import dev.polyphon.engine.adapter.AdapterFault;
import dev.polyphon.engine.adapter.AdapterPart;
import dev.polyphon.engine.adapter.LoadedAdapter;
import dev.polyphon.engine.adapter.TaskFault;
import dev.polyphon.engine.backend.DeviceMemoryException;
import dev.polyphon.engine.pool.AdapterPool.Loader;
import dev.polyphon.engine.pool.Registered.Version;
import dev.polyphon.engine.pool.Slots.Room;
import dev.polyphon.runtime.AdapterId;
import dev.polyphon.runtime.AdapterSource;
import dev.polyphon.runtime.AdapterWeight;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.runtime.RuntimeFault.Kind;
import dev.polyphon.runtime.RuntimeObserver;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CancellationException;
import java.util.concurrent.Executor;
import java.util.function.BooleanSupplier;
import java.util.function.LongFunction;
import java.util.stream.IntStream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Brings adapters from their files to where the model computes. Runs on the pool's executor, never under its lock. */
final class Loads {
    private static final Logger LOG = LoggerFactory.getLogger(Loads.class);

    private final HostTier host;
    private final VersionFiles files;
    private final Variants variants;
    private final Rooms rooms;
    private final Registry registry;
    private final Failures failures;
    private final Loader loader;
    private final Executor executor;
    private final RuntimeObserver observer;

    /** Where files are found. */
    record Files(HostTier inMemory, VersionFiles elsewhere) {}

    Loads(Files from, Variants variants, Rooms rooms, Registry registry, Failures failures, Loader loader, Executor executor, RuntimeObserver observer) {
        host = from.inMemory();
        files = from.elsewhere();
        this.variants = variants;
        this.rooms = rooms;
        this.registry = registry;
        this.failures = failures;
        this.loader = loader;
        this.executor = executor;
        this.observer = observer;
    }

    /** Versions' files in memory, held until this is closed. */
    final class Images implements AutoCloseable {
        final List<Part> parts;
        final List<Image> all = new ArrayList<>();

        private Images(List<Part> parts) {
            this.parts = parts;
        }

        long bytes() {
            return all.stream().mapToLong(Image::bytes).sum();
        }

        /** Whether all files are still those of their versions. */
        boolean same() {
            return IntStream.range(0, parts.size()).allMatch(i -> parts.get(i).version().hash().equals(all.get(i).hash()));
        }

        List<Object> stamps() {
            return all.stream().map(Image::stamp).toList();
        }

        @Override
        public void close() {
            all.forEach(Image::release);
        }
    }

    /** Reads files, or finds them in memory. */
    Images open(List<Part> parts, BooleanSupplier wanted) throws IOException {
        Images images = new Images(parts);
        try {
            for (Part part : parts) {
                images.all.add(image(part, wanted));
            }
            return images;
        } catch (Throwable e) {
            images.close();
            throw e;
        }
    }

    /** Of a folder, what is in memory counts only as long as the folder has not changed, or for an earlier version. */
    private Image image(Part part, BooleanSupplier wanted) throws IOException {
        Image image = host.get(part, wanted);
        Registered one = registry.live().get(part.id());
        if (!(part.version().source() instanceof AdapterSource.Folder folder) || one == null || one.number() != part.number()
                || VersionFiles.stamp(folder).equals(image.stamp())) {
            return image;
        }
        host.drop(part.number());
        image.release();
        return host.get(part, wanted);
    }

    /** Reads files from where they come from, whatever is in memory. */
    Images reopen(List<Part> parts) throws IOException {
        Images images = new Images(parts);
        try {
            for (Part part : parts) {
                images.all.add(files.read(part, () -> true));
            }
            return images;
        } catch (Throwable e) {
            images.close();
            throw e;
        }
    }

    /** Files that were uploaded. */
    Images arrived(Path folder, AdapterId id) throws IOException {
        AdapterSource upload = new AdapterSource.Upload();
        Images images = new Images(List.of());
        images.all.add(Image.read(folder, Path.of(id.name()), upload, VersionFiles.stamp(upload)));
        return images;
    }

    /** An adapter in its room. */
    record Built(LoadedAdapter adapter, Room room) {}

    /**
     * Makes an adapter. How much room it takes is known for sure only then: where it is more than was asked for, the adapter is made again when there is so
     * much.
     *
     * @param given room that there is already, or null
     * @param asking asked for so many bytes; null as its answer ends this with null
     */
    Built build(List<AdapterWeight> wanted, Images images, Room given, LongFunction<Room> asking) throws IOException {
        List<AdapterPart> parts = new ArrayList<>();
        for (int i = 0; i < wanted.size(); i++) {
            parts.add(new AdapterPart(wanted.get(i).name(), images.all.get(i).folder(), wanted.get(i).task(), wanted.get(i).weight()));
        }
        // What the files take is a guess: only what the adapter takes itself can be too much.
        long bytes = Math.min(images.bytes(), rooms.most());
        for (Room room = given;; room = null) {
            room = room == null ? asking.apply(bytes) : room;
            if (room == null) {
                return null;
            }
            LoadedAdapter adapter = null;
            try {
                room.clear();
                adapter = load(parts);
                Room fitting = rooms.fit(room, adapter.bytes());
                if (fitting != null) {
                    return new Built(adapter, fitting);
                }
                bytes = adapter.bytes();
            } catch (Throwable e) {
                release(adapter, room);
                throw e;
            }
            release(adapter, room);
        }
    }

    /** Makes an adapter; where the device has no place for it in spite of its room, as between what others left standing, those that nobody uses give way. */
    private LoadedAdapter load(List<AdapterPart> parts) throws IOException {
        while (true) {
            try {
                return loader.load(parts);
            } catch (DeviceMemoryException full) {
                if (!rooms.clear(full.wanted())) {
                    throw full;
                }
            }
        }
    }

    /**
     * A variant's turn: reads its files, waits in line for room if need be, and puts it into service.
     *
     * @param given room that it waited for; null when it has not waited yet
     */
    void load(Variant variant, Room given) {
        long start = System.nanoTime();
        Room unused = given;
        try (Images images = open(variant.key.parts(), () -> variants.wanted(variant))) {
            unused = null;
            Built built = build(variant.key.wanted(), images, given, bytes -> rooms.take(variant, bytes, room -> load(variant, room)));
            variant.nanos += System.nanoTime() - start;
            if (built != null) {
                List<Part> parts = confirm(images, built);
                parts.forEach(part -> failures.clear(part.number()));
                observer.adapterLoad(variant.key.name(), Duration.ofNanos(variant.nanos), true);
                variants.admit(variant, new Variant.Key(variant.key.wanted(), parts), built.adapter(), images.stamps());
            }
        } catch (CancellationException e) {
            release(null, unused);
            if (!variants.abandon(variant)) {
                executor.execute(() -> load(variant, null));
            }
        } catch (IOException | RuntimeException | Error e) {
            // Whatever it is, those who wait must hear of it.
            release(null, unused);
            observer.adapterLoad(variant.key.name(), Duration.ofNanos(variant.nanos + System.nanoTime() - start), false);
            variants.failed(variant, fault(variant.key, e));
        }
    }

    /** Reads changed folders again; what is in service stays until that has succeeded. */
    void renew(Variant old) {
        try (Images images = reopen(old.key.parts())) {
            Built built = images.same() ? null : build(old.key.wanted(), images, null, rooms::now);
            if (built != null) {
                List<Part> parts = confirm(images, built);
                if (!variants.replace(old, new Variant.Key(old.key.wanted(), parts), built.adapter(), images.stamps())) {
                    release(built.adapter(), built.room());
                }
            }
        } catch (IOException | RuntimeException | OutOfMemoryError e) {
            LOG.warn("a changed adapter is not taken over, the one before stays: {}", fault(old.key, e).getMessage());
        }
    }

    /** Notes what has turned out to work; where that fails, it gives its room back. */
    private List<Part> confirm(Images images, Built built) throws AdapterFault {
        try {
            return confirm(images);
        } catch (AdapterFault | RuntimeException e) {
            release(built.adapter(), built.room());
            throw e;
        }
    }

    /** Notes the hashes of what was read; where a folder's files have become others, that is a new version. */
    private List<Part> confirm(Images images) throws AdapterFault {
        List<Part> confirmed = new ArrayList<>();
        for (int i = 0; i < images.parts.size(); i++) {
            Part part = images.parts.get(i);
            Image image = images.all.get(i);
            Registered one = registry.live().get(part.id());
            Version known = one == null ? null : one.versions().stream().filter(v -> v.number() == part.number()).findFirst().orElse(null);
            if (known == null || known.hash().equals(image.hash())) {
                confirmed.add(part);
            } else if (known.hash().isEmpty()) {
                identify(part, image);
                confirmed.add(part);
            } else if (one.number() == part.number() && part.version().source() instanceof AdapterSource.Folder) {
                Part renewed = new Part(part.id(), registry.renew(part.id(), known, image.hash(), image.folder().kind()));
                host.put(renewed.number(), image);
                confirmed.add(renewed);
            } else {
                throw new AdapterFault(part.version().source().uri() + " no longer holds version " + known.hash());
            }
        }
        return confirmed;
    }

    /** Notes what files a version has; on a full disk that is left to the next time, and requests are served all the same. */
    private void identify(Part part, Image image) {
        try {
            registry.identify(part.id(), part.number(), image.hash(), image.folder().kind(), image.source());
        } catch (RuntimeFault e) {
            if (e.kind() != Kind.NO_SPACE) {
                throw e;
            }
            LOG.warn("the hash of {} is not noted yet: {}", part.id(), e.getMessage());
        }
    }

    void release(LoadedAdapter adapter, Room room) {
        if (adapter != null) {
            adapter.close();
        }
        if (room != null) {
            rooms.giveBack(room);
        }
    }

    private RuntimeFault fault(Variant.Key key, Throwable e) {
        switch (e) {
            case RuntimeFault fault -> {
                remember(key, fault);
                return fault;
            }
            case DeviceMemoryException full -> {
                return RuntimeFault.overloaded("adapter " + key.name() + " could not be loaded: " + full.getMessage(), Duration.ofSeconds(1));
            }
            case TaskFault task -> {
                // Nothing is wrong with the adapter: the next request may name another.
                return RuntimeFault.invalid("task", "adapter " + key.name() + ": " + task.getMessage());
            }
            case IOException io -> {
                RuntimeFault fault = AdapterPool.unusable(key.name(), io);
                remember(key, fault);
                return fault;
            }
            default -> {
                return RuntimeFault.of(Kind.INTERNAL, "adapter " + key.name() + " could not be loaded: " + e, e);
            }
        }
    }

    private void remember(Variant.Key key, RuntimeFault fault) {
        if (key.plain() && fault.kind() == Kind.ADAPTER_UNUSABLE) {
            Part part = key.parts().getFirst();
            failures.add(part.number(), fault.getMessage(), VersionFiles.stamp(part.version().source()));
        }
    }
}
