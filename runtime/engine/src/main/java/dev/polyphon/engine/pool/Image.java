package dev.polyphon.engine.pool;

import dev.polyphon.engine.adapter.AdapterFault;
import dev.polyphon.engine.adapter.AdapterFolder;
import dev.polyphon.runtime.AdapterSource;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * An adapter's files as they were read, in memory outside the heap: what its hash was taken of is what is used. Whoever holds it last frees it.
 */
final class Image {
    private static final int CHUNK = 1 << 20;

    private final Arena arena;
    private final AdapterFolder folder;
    private final Map<String, MemorySegment> content;
    private final String hash;
    private final long bytes;
    private final AdapterSource source;
    private final Object stamp;
    private final AtomicInteger holders = new AtomicInteger(1);

    private Image(Arena arena, AdapterFolder folder, Map<String, MemorySegment> content, String hash, long bytes, AdapterSource source, Object stamp) {
        this.arena = arena;
        this.folder = folder;
        this.content = content;
        this.hash = hash;
        this.bytes = bytes;
        this.source = source;
        this.stamp = stamp;
    }

    /**
     * Reads a folder; the caller holds what comes.
     *
     * @param label names the adapter in messages
     * @param source where the files are found again
     * @param stamp tells whether they have changed there since
     */
    static Image read(Path folder, Path label, AdapterSource source, Object stamp) throws IOException {
        return read(folder, label, source, stamp, null);
    }

    /**
     * The same for files that were there before: nothing of them is looked at until they have turned out to be what they were.
     *
     * @param expected the hash they must have; null for any
     * @throws DamagedCopyException when they have become others, or cannot be read any more
     */
    static Image read(Path folder, Path label, AdapterSource source, Object stamp, String expected) throws IOException {
        Arena arena = Arena.ofShared();
        try {
            MessageDigest digest = Content.sha256();
            Map<String, MemorySegment> content = new LinkedHashMap<>();
            try {
                read(folder, arena, content, digest);
            } catch (IOException e) {
                throw expected == null ? e : new DamagedCopyException(e.toString());
            }
            String hash = HexFormat.of().formatHex(digest.digest());
            if (expected != null && !expected.equals(hash)) {
                throw new DamagedCopyException("its SHA-256 is " + hash + ", it was " + expected);
            }
            long bytes = content.values().stream().mapToLong(MemorySegment::byteSize).sum();
            return new Image(arena, AdapterFolder.of(label, content), content, hash, bytes, source, stamp);
        } catch (Throwable e) {
            arena.close();
            throw e;
        }
    }

    private static void read(Path folder, Arena arena, Map<String, MemorySegment> content, MessageDigest digest) throws IOException {
        for (String name : AdapterFolder.files()) {
            try (FileChannel file = FileChannel.open(folder.resolve(name))) {
                MemorySegment segment = arena.allocate(file.size(), 64);
                digest.update((name + ' ' + segment.byteSize() + '\n').getBytes(StandardCharsets.UTF_8));
                read(file, name, segment, digest);
                content.put(name, segment);
            } catch (NoSuchFileException e) {
                continue;
            }
        }
    }

    private static void read(FileChannel file, String name, MemorySegment target, MessageDigest digest) throws IOException {
        for (long at = 0; at < target.byteSize(); at += CHUNK) {
            ByteBuffer chunk = target.asSlice(at, Math.min(CHUNK, target.byteSize() - at)).asByteBuffer();
            while (chunk.hasRemaining()) {
                if (file.read(chunk) < 0) {
                    throw new AdapterFault(name + " became shorter while it was read");
                }
            }
            digest.update(chunk.flip());
        }
    }

    AdapterFolder folder() {
        return folder;
    }

    /** The same for those who close nothing: the collector frees it. */
    AdapterFolder copy() throws IOException {
        Arena collected = Arena.ofAuto();
        Map<String, MemorySegment> copies = new LinkedHashMap<>();
        content.forEach((name, bytes) -> copies.put(name, collected.allocate(bytes.byteSize(), 64).copyFrom(bytes)));
        return AdapterFolder.of(folder.path(), copies);
    }

    /** SHA-256 over names, lengths and bytes, in hex. */
    String hash() {
        return hash;
    }

    long bytes() {
        return bytes;
    }

    AdapterSource source() {
        return source;
    }

    Object stamp() {
        return stamp;
    }

    /** Takes another hold; false when it is free already. */
    boolean retain() {
        return holders.getAndUpdate(n -> n == 0 ? 0 : n + 1) > 0;
    }

    void release() {
        if (holders.decrementAndGet() == 0) {
            arena.close();
        }
    }
}
