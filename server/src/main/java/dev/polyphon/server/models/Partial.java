package dev.polyphon.server.models;

import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.function.LongConsumer;

/**
 * The file that a model grows in until it is whole and proven to be the right one. It survives a crash, so that the next start goes on where
 * this one stopped. Who uses it holds the model's lock.
 */
final class Partial {
    private static final int CHUNK = 1 << 17;

    private final Path file;
    private final PinnedModel model;

    Partial(Path file, PinnedModel model) {
        this.file = file;
        this.model = model;
    }

    /** How many bytes are there; those of a file that is too long to be a beginning do not count. */
    long size() throws IOException {
        if (!Files.exists(file)) {
            return 0;
        }
        if (Files.size(file) > model.bytes()) {
            discard();
            return 0;
        }
        return Files.size(file);
    }

    long wanted() {
        return model.bytes();
    }

    void discard() throws IOException {
        Files.deleteIfExists(file);
    }

    /**
     * Appends what the stream holds.
     *
     * @param grown told the size after each piece
     * @throws BrokenTransferException if the stream fails or ends before the model is whole; what came stays
     * @throws WrongContentException if it holds more than the model has; nothing is kept then
     * @throws IOException if writing fails
     */
    void append(InputStream in, LongConsumer grown) throws IOException {
        try (var out = FileChannel.open(file, StandardOpenOption.CREATE, StandardOpenOption.WRITE, StandardOpenOption.APPEND)) {
            var chunk = new byte[CHUNK];
            var size = out.size();
            for (int n = read(in, chunk); n >= 0; n = read(in, chunk)) {
                if (n > model.bytes() - size) {
                    discard();
                    throw new WrongContentException("it holds more than " + model.bytes() + " bytes");
                }
                var piece = ByteBuffer.wrap(chunk, 0, n);
                while (piece.hasRemaining()) {
                    out.write(piece);
                }
                size += n;
                grown.accept(size);
            }
            if (size < model.bytes()) {
                throw new BrokenTransferException("it ended after " + size + " of " + model.bytes() + " bytes");
            }
        }
    }

    private static int read(InputStream in, byte[] chunk) throws BrokenTransferException {
        try {
            return in.read(chunk);
        } catch (IOException e) {
            throw new BrokenTransferException(Reasons.of(e));
        }
    }

    /** Moves the whole and right file to its place in one step. If it is not the right one, it is deleted. */
    void promote(Path target) throws IOException {
        try {
            verify(file, model);
        } catch (WrongContentException e) {
            discard();
            throw e;
        }
        try (var written = FileChannel.open(file, StandardOpenOption.WRITE)) {
            written.force(true);
        }
        Files.move(file, target, StandardCopyOption.ATOMIC_MOVE);
    }

    static void verify(Path file, PinnedModel model) throws IOException {
        var bytes = Files.size(file);
        if (bytes != model.bytes()) {
            throw new WrongContentException("it has " + bytes + " bytes, not " + model.bytes() + ": refused");
        }
        var sha256 = sha256(file);
        if (!sha256.equals(model.sha256())) {
            throw new WrongContentException("its SHA-256 is " + sha256 + ", not " + model.sha256() + ": refused");
        }
    }

    private static String sha256(Path file) throws IOException {
        try (var in = FileChannel.open(file)) {
            var digest = MessageDigest.getInstance("SHA-256");
            var buffer = ByteBuffer.allocate(CHUNK);
            while (in.read(buffer.clear()) >= 0) {
                digest.update(buffer.flip());
            }
            return HexFormat.of().formatHex(digest.digest());
        } catch (NoSuchAlgorithmException e) {
            throw new AssertionError("every Java platform has SHA-256", e);
        }
    }

    /** The sender stopped before the end. Trying again may go on from here. */
    static final class BrokenTransferException extends IOException {
        private static final long serialVersionUID = 1;

        BrokenTransferException(String message) {
            super(message);
        }
    }

    /** All of a file is there, and it is not the model. */
    static final class WrongContentException extends IOException {
        private static final long serialVersionUID = 1;

        WrongContentException(String message) {
            super(message);
        }
    }
}
