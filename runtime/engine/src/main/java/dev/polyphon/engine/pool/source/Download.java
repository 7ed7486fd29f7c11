package dev.polyphon.engine.pool.source;

import dev.polyphon.engine.adapter.AdapterFault;
import dev.polyphon.engine.pool.source.Origin.Incoming;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.util.HexFormat;

/**
 * Takes one file from an origin. A transfer that breaks off is taken up where it stopped, as long as each try brings some bytes; the whole is held to the
 * origin's length and, where it tells one, its SHA-256. What an earlier process left of a file, with its tag in a file beside it, is gone on with where the
 * origin still has the same content and tells its SHA-256, so that nothing is trusted to a disk that a machine went down with.
 */
final class Download {
    private static final int CHUNK = 1 << 17;
    private static final int MOST_BREAKS = 20;

    private final Origin origin;
    private final String name;
    private final long limit;
    private final SourceOptions options;
    private final Fetcher.Progress progress;
    private long size;
    private String tag;
    /** Whether what there is came in an earlier process, or at least an earlier try. */
    private boolean earlier;

    /** @param limit bytes that the file may have */
    Download(Origin origin, String name, long limit, SourceOptions options, Fetcher.Progress progress) {
        this.origin = origin;
        this.name = name;
        this.limit = limit;
        this.options = options;
        this.progress = progress;
    }

    /** Writes the file and brings it to the disk; false when the origin has none of that name. */
    boolean to(Path target) throws IOException, InterruptedException {
        Path mark = mark(target);
        MessageDigest digest = sha256();
        try (FileChannel out = FileChannel.open(target, StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
            resume(out, mark, digest);
            for (int breaks = 0;; breaks++) {
                long before = size;
                try {
                    String expected = transfer(out, mark, digest);
                    if (expected == null) {
                        return false;
                    }
                    String found = HexFormat.of().formatHex(digest.digest());
                    if (expected.isEmpty() || expected.equals(found)) {
                        out.force(true);
                        Files.deleteIfExists(mark);
                        return true;
                    }
                    Files.deleteIfExists(mark);
                    if (!earlier) {
                        throw new AdapterFault(name + " has the SHA-256 " + found + ", its origin says " + expected);
                    }
                    restart(out, digest);
                } catch (BrokenTransferException e) {
                    if (size <= before || breaks >= MOST_BREAKS) {
                        throw e;
                    }
                }
            }
        }
    }

    /** Holds the tag of what has come of a file, while that is not all. */
    static Path mark(Path target) {
        return target.resolveSibling(target.getFileName() + ".tag");
    }

    private void resume(FileChannel out, Path mark, MessageDigest digest) throws IOException {
        if (!Files.exists(mark) || out.size() > limit) {
            restart(out, digest);
            return;
        }
        tag = Files.readString(mark);
        size = out.size();
        earlier = size > 0;
        ByteBuffer chunk = ByteBuffer.allocate(CHUNK);
        while (out.read(chunk.clear()) >= 0) {
            digest.update(chunk.flip());
        }
    }

    private void restart(FileChannel out, MessageDigest digest) throws IOException {
        out.truncate(0);
        digest.reset();
        size = 0;
        tag = null;
        earlier = false;
    }

    /** Takes what is left; the SHA-256 that the file must have, empty when that is not known, null when there is no file. */
    private String transfer(FileChannel out, Path mark, MessageDigest digest) throws IOException, InterruptedException {
        try (Incoming in = origin.open(name, size, tag).orElse(null)) {
            if (in == null) {
                return null;
            }
            if (in.size() > limit) {
                throw tooLarge(in.size() + " bytes");
            }
            if (in.from() != 0 && in.from() != size) {
                throw new IOException("asked for " + name + " from byte " + size + " on, the answer begins at " + in.from());
            }
            if (in.from() == 0) {
                restart(out, digest);
                Files.deleteIfExists(mark);
            } else if (earlier && in.sha256() == null) {
                restart(out, digest);
                return transfer(out, mark, digest);
            }
            tag = in.tag();
            if (tag != null && in.from() == 0) {
                Files.writeString(mark, tag);
            }
            append(in.body(), out, digest);
            if (in.size() >= 0 && size != in.size()) {
                throw new BrokenTransferException(name + " ended after " + size + " of " + in.size() + " bytes");
            }
            return in.sha256() == null ? "" : in.sha256();
        }
    }

    private void append(InputStream in, FileChannel out, MessageDigest digest) throws IOException {
        byte[] chunk = new byte[CHUNK];
        Duration stall = options.stallLimit();
        try (StallWatch watch = new StallWatch(stall, options.leastRate() * stall.toMillis() / 1000, in)) {
            for (int n = read(in, chunk, watch); n >= 0; n = read(in, chunk, watch)) {
                if (size + n > limit) {
                    throw tooLarge("more");
                }
                progress.received(n);
                ByteBuffer piece = ByteBuffer.wrap(chunk, 0, n);
                while (piece.hasRemaining()) {
                    out.write(piece, size + piece.position());
                }
                digest.update(chunk, 0, n);
                size += n;
            }
        }
    }

    private int read(InputStream in, byte[] chunk, StallWatch watch) throws BrokenTransferException {
        try {
            int n = in.read(chunk);
            watch.received(Math.max(0, n));
            return n;
        } catch (IOException e) {
            throw new BrokenTransferException(name + " broke off after " + size + " bytes: "
                    + (watch.fired() ? "less than " + options.leastRate() + " bytes a second came for " + options.stallLimit().toMillis() + " ms" : e.getMessage()));
        }
    }

    private AdapterFault tooLarge(String found) {
        return new AdapterFault(name + " may have " + limit + " bytes, its origin has " + found);
    }

    private static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
    }
}
