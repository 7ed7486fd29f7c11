package dev.polyphon.engine.pool;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;

/**
 * Folders with what came of transfers that broke off, by where it comes from, so that the next one goes on from there, also in another process. They go when
 * room is wanted, the oldest first. Guarded by the disk store.
 */
final class Partials {
    private final Path root;
    /** Bytes of those that nobody fills, the oldest first. */
    private final Map<String, Long> idle = new LinkedHashMap<>();
    private final Set<String> filling = new HashSet<>();

    private Partials(Path root) {
        this.root = root;
    }

    static Partials open(Path root) throws IOException {
        Files.createDirectories(root);
        Partials partials = new Partials(root);
        try (Stream<Path> folders = Files.list(root)) {
            List<Path> oldest = folders.sorted(Comparator.comparingLong(folder -> folder.toFile().lastModified())).toList();
            for (Path folder : oldest) {
                partials.idle.put(folder.getFileName().toString(), DiskStore.bytes(folder));
            }
        }
        return partials;
    }

    long bytes() {
        return idle.values().stream().mapToLong(Long::longValue).sum();
    }

    /** The folder for what comes from a place, which the caller fills until {@link #leave} or {@link #remove}; null while somebody else does. */
    Path fill(String from) throws IOException {
        String key = HexFormat.of().formatHex(Content.sha256().digest(from.getBytes(StandardCharsets.UTF_8)));
        if (!filling.add(key)) {
            return null;
        }
        idle.remove(key);
        return Files.createDirectories(root.resolve(key));
    }

    /** Leaves a folder for another time; returns its bytes. */
    long leave(Path folder) throws IOException {
        long bytes = DiskStore.bytes(folder);
        filling.remove(key(folder));
        idle.put(key(folder), bytes);
        return bytes;
    }

    /** A folder is filled no longer, and has gone or goes. */
    void remove(Path folder) throws IOException {
        DiskStore.delete(folder);
        filling.remove(key(folder));
    }

    /** Removes the oldest; returns its bytes, or -1 when there is none. */
    long removeOldest() throws IOException {
        if (idle.isEmpty()) {
            return -1;
        }
        Map.Entry<String, Long> oldest = idle.entrySet().iterator().next();
        DiskStore.delete(root.resolve(oldest.getKey()));
        idle.remove(oldest.getKey());
        return oldest.getValue();
    }

    private static String key(Path folder) {
        return folder.getFileName().toString();
    }
}
