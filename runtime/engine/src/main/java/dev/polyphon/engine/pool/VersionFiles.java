package dev.polyphon.engine.pool;

import dev.polyphon.engine.adapter.AdapterFault;
import dev.polyphon.engine.pool.DiskStore.Arrival;
import dev.polyphon.engine.pool.DiskStore.Held;
import dev.polyphon.engine.pool.source.Fetcher;
import dev.polyphon.runtime.AdapterSource;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.runtime.RuntimeObserver;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Optional;
import java.util.concurrent.CancellationException;
import java.util.function.BooleanSupplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Reads versions' files from wherever they are: a folder in place, this machine's copy, or their origin, of which a copy is kept. Thread-safe; waits. */
final class VersionFiles {
    private static final Logger LOG = LoggerFactory.getLogger(VersionFiles.class);

    private final DiskStore disk;
    private final Fetcher fetcher;
    private final RuntimeObserver observer;

    VersionFiles(DiskStore disk, Fetcher fetcher, RuntimeObserver observer) {
        this.disk = disk;
        this.fetcher = fetcher;
        this.observer = observer;
    }

    /** Equal as long as what a source has seems unchanged, as far as that can be told without asking others. */
    static Object stamp(AdapterSource source) {
        return source instanceof AdapterSource.Folder folder ? Content.stamp(folder.path()) : source.uri();
    }

    /**
     * Reads a version; the caller holds what comes. Of a folder, that may be of another hash than the version's; elsewhere that is a fault.
     *
     * @param wanted asked while files come from elsewhere: when nobody wants them any more, a {@link CancellationException} ends it
     */
    Image read(Part part, BooleanSupplier wanted) throws IOException {
        AdapterSource source = part.version().source();
        if (source instanceof AdapterSource.Folder folder) {
            return inPlace(folder);
        }
        String hash = part.version().hash();
        if (!hash.isEmpty()) {
            Optional<Image> copy = copy(part, hash);
            if (copy.isPresent()) {
                return copy.get();
            }
        }
        if (source instanceof AdapterSource.Upload) {
            throw new AdapterFault("its files, which were uploaded, are gone");
        }
        return fetch(part, hash, wanted);
    }

    private static Image inPlace(AdapterSource.Folder folder) throws IOException {
        Object stamp = stamp(folder);
        Image image = Image.read(folder.path(), folder.path(), folder, stamp);
        if (!stamp(folder).equals(stamp)) {
            image.release();
            throw new AdapterFault("its files changed while they were read");
        }
        return image;
    }

    /** What there is on the disk, or nothing when that has to come again from where it came from. */
    private Optional<Image> copy(Part part, String hash) throws IOException {
        AdapterSource source = part.version().source();
        try (Held held = disk.find(hash).orElse(null)) {
            if (held == null) {
                return Optional.empty();
            }
            try {
                return Optional.of(Image.read(held.folder(), label(part), source, stamp(source), hash));
            } catch (DamagedCopyException e) {
                LOG.warn("the files of {} are damaged on the disk: {}", part.id(), e.getMessage());
                observer.adapterDamaged(part.id().name());
                held.damaged();
                if (source instanceof AdapterSource.Upload) {
                    throw new AdapterFault("its files, which were uploaded, are damaged on the disk, and have to be uploaded again");
                }
                return Optional.empty();
            }
        }
    }

    private static Path label(Part part) {
        return Path.of(part.id().name());
    }

    private Image fetch(Part part, String hash, BooleanSupplier wanted) throws IOException {
        try (Arrival arrival = disk.arrival(part.version().source().uri())) {
            AdapterSource source;
            Image image;
            try {
                source = fetcher.fetch(part.version().source(), arrival.folder(), bytes -> {
                    if (!wanted.getAsBoolean()) {
                        throw new CancellationException("nobody waits for " + part.id() + " any more");
                    }
                    arrival.take(bytes);
                });
                image = Image.read(arrival.folder(), label(part), source, stamp(source));
            } catch (AdapterFault | RuntimeFault e) {
                arrival.forget();
                throw e;
            } catch (IOException e) {
                if (DiskStore.isFull(e)) {
                    // What has come would only keep room from others.
                    arrival.forget();
                }
                throw e;
            }
            if (!hash.isEmpty() && !image.hash().equals(hash)) {
                image.release();
                arrival.forget();
                throw new AdapterFault(part.version().source().uri() + " holds version " + image.hash() + ", not " + hash);
            }
            arrival.settle(image.hash(), false).close();
            return image;
        } catch (IOException e) {
            if (DiskStore.isFull(e)) {
                throw DiskStore.full();
            }
            throw e;
        }
    }
}
