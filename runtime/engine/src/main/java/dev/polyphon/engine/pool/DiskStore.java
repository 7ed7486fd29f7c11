package dev.polyphon.engine.pool;

import dev.polyphon.runtime.AdapterTiers.Tier;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.runtime.RuntimeFault.Kind;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.NotDirectoryException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.FileTime;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import java.util.function.Predicate;
import java.util.stream.Stream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Adapters' files on this machine, up to so many bytes: a folder for each content, named by its hash, so that what several adapters have in common is there
 * once. Copies of what can be fetched again give way to others, the least recently used first; what was uploaded stays, and so does what is being read.
 *
 * <p>Files come in through a folder of their own, are brought to the disk there, and get their place by one rename: a process killed at any moment leaves
 * nothing that looks like an adapter and is none.
 *
 * <p>Thread-safe; does I/O.
 */
final class DiskStore implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(DiskStore.class);

    /** A hold on a folder: until it is closed it stays. */
    final class Held implements AutoCloseable {
        private final Entry entry;
        private boolean closed;

        private Held(Entry entry) {
            this.entry = entry;
        }

        Path folder() {
            return files.resolve(entry.hash);
        }

        /**
         * The files are not what they were. A copy goes, so that it comes again; what is the only copy stays, for somebody may know how to repair it, but
         * gives its place to the same content when that arrives.
         */
        void damaged() throws IOException {
            synchronized (DiskStore.this) {
                entry.damaged = true;
                if (!entry.kept && entries.get(entry.hash) == entry) {
                    discard(entry.hash);
                }
            }
        }

        @Override
        public void close() {
            synchronized (DiskStore.this) {
                if (!closed) {
                    closed = true;
                    entry.users--;
                }
            }
        }
    }

    private static final class Entry {
        final String hash;
        final long bytes;
        boolean kept;
        boolean damaged;
        int users;

        Entry(String hash, long bytes, boolean kept) {
            this.hash = hash;
            this.bytes = bytes;
            this.kept = kept;
        }
    }

    private final Path root;
    private final Path files;
    private final Path arriving;
    private final long budget;
    private final boolean temporary;
    private final Partials partials;
    /** The least recently used first. */
    private final Map<String, Entry> entries = new LinkedHashMap<>(16, 0.75f, true);
    private long used;
    private long hits;
    private long misses;
    private long evictions;

    private DiskStore(Path root, long budget, boolean temporary) throws IOException {
        this.root = root;
        this.files = root.resolve("files");
        this.arriving = root.resolve("arriving");
        this.budget = budget;
        this.temporary = temporary;
        this.partials = Partials.open(root.resolve("partial"));
        this.used = partials.bytes();
    }

    /**
     * Opens a folder that one process uses at a time, and clears what a killed one left there, but for transfers that can go on.
     *
     * @param root null for a temporary folder, which goes when this is closed
     * @param kept whether what has this hash cannot be fetched again
     * @param known whether anything registered has this hash; all else is removed
     */
    static DiskStore open(Path root, long budget, Predicate<String> kept, Predicate<String> known) throws IOException {
        DiskStore store = new DiskStore(root == null ? Files.createTempDirectory("polyphon-adapters") : root, budget, root == null);
        Files.createDirectories(store.files);
        delete(store.arriving);
        Files.createDirectories(store.arriving);
        Map<Path, FileTime> found = new HashMap<>();
        try (Stream<Path> folders = Files.list(store.files)) {
            for (Path folder : folders.toList()) {
                if (known.test(folder.getFileName().toString())) {
                    found.put(folder, Files.getLastModifiedTime(folder));
                } else {
                    delete(folder);
                }
            }
        }
        for (Path folder : found.keySet().stream().sorted(Comparator.comparing(found::get)).toList()) {
            String hash = folder.getFileName().toString();
            store.add(new Entry(hash, bytes(folder), kept.test(hash)));
        }
        store.removePartials(0);
        return store;
    }

    private void add(Entry entry) {
        entries.put(entry.hash, entry);
        used += entry.bytes;
    }

    static long bytes(Path folder) throws IOException {
        try (Stream<Path> inside = Files.list(folder)) {
            long sum = 0;
            for (Path file : inside.toList()) {
                sum += Files.size(file);
            }
            return sum;
        }
    }

    /** The folder with a content, held. */
    synchronized Optional<Held> find(String hash) throws IOException {
        Entry entry = entries.get(hash);
        if (entry == null) {
            misses++;
            return Optional.empty();
        }
        hits++;
        touch(files.resolve(hash));
        return Optional.of(hold(entry));
    }

    /** Notes for the next process when a folder was used; on a disk that takes nothing, or where it is missing, it is read all the same, or found missing. */
    private static void touch(Path folder) {
        try {
            Files.setLastModifiedTime(folder, FileTime.from(Instant.now()));
        } catch (IOException e) {
            LOG.debug("cannot note that {} was used: {}", folder, e.toString());
        }
    }

    private Held hold(Entry entry) {
        entry.users++;
        return new Held(entry);
    }

    synchronized boolean contains(String hash) {
        return entries.containsKey(hash);
    }

    private void discard(String hash) throws IOException {
        Entry entry = entries.remove(hash);
        if (entry != null) {
            used -= entry.bytes;
            delete(files.resolve(hash));
        }
    }

    /** Nothing registered has this content any more: it goes, now or, when it is being read, as soon as its room is wanted. */
    synchronized void release(String hash) throws IOException {
        Entry entry = entries.get(hash);
        if (entry != null) {
            entry.kept = false;
            if (entry.users == 0) {
                discard(hash);
            }
        }
    }

    /** A new folder for files on their way in. */
    Arrival arrival() throws IOException {
        return new Arrival(Files.createDirectory(arriving.resolve(UUID.randomUUID().toString())), false, 0);
    }

    /** A folder for files on their way in from a place, with what came of them before; closed without {@link Arrival#settle} it is kept for the next time. */
    synchronized Arrival arrival(String from) throws IOException {
        Path folder = partials.fill(from);
        return folder == null ? arrival() : new Arrival(folder, true, bytes(folder));
    }

    /** A folder that files are written into; closed without {@link #settle} it is gone, unless it is one to go on with. For one thread at a time. */
    final class Arrival implements AutoCloseable {
        private final Path folder;
        private final boolean partial;
        private boolean wanted;
        private long taken;

        /** @param taken room for what is there already */
        private Arrival(Path folder, boolean partial, long taken) {
            this.folder = folder;
            this.partial = partial;
            this.wanted = partial;
            this.taken = taken;
        }

        /** What is there is no use another time. */
        void forget() {
            wanted = false;
        }

        Path folder() {
            return folder;
        }

        /** Takes room for bytes that are about to be written. Throws a {@link RuntimeFault} of kind {@code NO_SPACE} when there is none. */
        void take(long bytes) throws IOException {
            makeRoom(bytes);
            taken += bytes;
        }

        /**
         * Gives the folder its place, when all its files are on the disk.
         *
         * @param kept whether it is the only copy
         */
        Held settle(String hash, boolean kept) throws IOException {
            synchronized (DiskStore.this) {
                wanted = false;
                Entry there = entries.get(hash);
                boolean only = kept;
                if (there != null && there.damaged) {
                    only |= there.kept;
                    discard(hash);
                    there = null;
                }
                if (there == null) {
                    sync(folder);
                    // What could not be removed when it was discarded.
                    delete(files.resolve(hash));
                    Files.move(folder, files.resolve(hash), StandardCopyOption.ATOMIC_MOVE);
                    sync(files);
                    there = new Entry(hash, bytes(files.resolve(hash)), only);
                    add(there);
                }
                there.kept |= only;
                return hold(there);
            }
        }

        @Override
        public void close() {
            synchronized (DiskStore.this) {
                used -= taken;
                taken = 0;
                try {
                    if (wanted) {
                        used += partials.leave(folder);
                    } else if (partial) {
                        partials.remove(folder);
                    } else {
                        delete(folder);
                    }
                } catch (IOException e) {
                    LOG.warn("cannot remove {}: {}", folder, e.toString());
                }
            }
        }
    }

    private synchronized void removePartials(long bytes) throws IOException {
        for (long removed = 0; removed >= 0 && used + bytes > budget;) {
            removed = partials.removeOldest();
            used -= Math.max(0, removed);
        }
    }

    private synchronized void makeRoom(long bytes) throws IOException {
        removePartials(bytes);
        List<Entry> removable = null;
        while (used + bytes > budget) {
            if (removable == null) {
                removable = new ArrayList<>(entries.values().stream().filter(entry -> !entry.kept && entry.users == 0).toList());
            }
            if (removable.isEmpty()) {
                throw RuntimeFault.of(Kind.NO_SPACE, "adapters may take " + budget + " bytes of the disk, and what has to stay there takes " + used);
            }
            discard(removable.removeFirst().hash);
            evictions++;
        }
        used += bytes;
    }

    /** Whether a write failed for want of space, of a file or of the database. The JDK has no class of its own for that. */
    static boolean isFull(IOException e) {
        return e.getMessage() != null && Stream.of("No space left on device", "Disk quota exceeded", "SQLITE_FULL").anyMatch(e.getMessage()::contains);
    }

    static RuntimeFault full() {
        return RuntimeFault.of(Kind.NO_SPACE, "the disk is full");
    }

    synchronized Tier usage() {
        return new Tier(entries.size(), used, budget, hits, misses, evictions);
    }

    /** A folder's entries are on the disk only when the folder itself is. */
    private static void sync(Path folder) throws IOException {
        try (FileChannel channel = FileChannel.open(folder)) {
            channel.force(true);
        }
    }

    static void delete(Path folder) throws IOException {
        if (!Files.exists(folder)) {
            return;
        }
        try (Stream<Path> inside = Files.list(folder)) {
            for (Path path : inside.toList()) {
                delete(path);
            }
        } catch (NotDirectoryException e) {
            // A file.
        }
        Files.delete(folder);
    }

    @Override
    public void close() throws IOException {
        if (temporary) {
            delete(root);
        }
    }
}
