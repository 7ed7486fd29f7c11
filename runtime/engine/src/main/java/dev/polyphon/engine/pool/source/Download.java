package dev.polyphon.engine.pool.source;

import dev.polyphon.engine.adapter.AdapterFault;
import dev.polyphon.engine.pool.source.Origin.Incoming;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.util.HexFormat;

/**
 * Takes one file from an origin. A transfer that breaks off is taken up where it stopped, as long as each try brings some bytes; the whole is held to the
 * origin's length and, where it tells one, its SHA-256.
 */
final class Download {
    private static final int CHUNK = 1 << 17;
    private static final int MOST_BREAKS = 20;

    private final Origin origin;
    private final String name;
    private final long limit;
    private final Duration stallLimit;
    private final Fetcher.Progress progress;
    private long size;
    private String tag;

    /** @param limit bytes that the file may have */
    Download(Origin origin, String name, long limit, Duration stallLimit, Fetcher.Progress progress) {
        this.origin = origin;
        this.name = name;
        this.limit = limit;
        this.stallLimit = stallLimit;
        this.progress = progress;
    }

    /** Writes the file and brings it to the disk; false when the origin has none of that name. */
    boolean to(Path target) throws IOException, InterruptedException {
        MessageDigest digest = sha256();
        try (FileChannel out = FileChannel.open(target, StandardOpenOption.CREATE, StandardOpenOption.TRUNCATE_EXISTING, StandardOpenOption.WRITE)) {
            for (int breaks = 0;; breaks++) {
                long before = size;
                try {
                    String expected = transfer(out, digest);
                    if (expected == null) {
                        return false;
                    }
                    String found = HexFormat.of().formatHex(digest.digest());
                    if (!expected.isEmpty() && !expected.equals(found)) {
                        throw new AdapterFault(name + " has the SHA-256 " + found + ", its origin says " + expected);
                    }
                    out.force(true);
                    return true;
                } catch (BrokenTransferException e) {
                    if (size <= before || breaks >= MOST_BREAKS) {
                        throw e;
                    }
                }
            }
        }
    }

    /** Takes what is left; the SHA-256 that the file must have, empty when that is not known, null when there is no file. */
    private String transfer(FileChannel out, MessageDigest digest) throws IOException, InterruptedException {
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
                out.truncate(0);
                digest.reset();
                size = 0;
            }
            tag = in.tag();
            append(in.body(), out, digest);
            if (in.size() >= 0 && size != in.size()) {
                throw new BrokenTransferException(name + " ended after " + size + " of " + in.size() + " bytes");
            }
            return in.sha256() == null ? "" : in.sha256();
        }
    }

    private void append(InputStream in, FileChannel out, MessageDigest digest) throws IOException {
        byte[] chunk = new byte[CHUNK];
        try (StallWatch watch = new StallWatch(stallLimit, in)) {
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
            watch.touch();
            return n;
        } catch (IOException e) {
            throw new BrokenTransferException(name + " broke off after " + size + " bytes: "
                    + (watch.fired() ? "nothing came in " + stallLimit.toSeconds() + " s" : e.getMessage()));
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
