package dev.polyphon.server.grpc;

import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Parser;
import java.io.ByteArrayInputStream;
import java.io.DataInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.util.zip.GZIPInputStream;
import java.util.zip.InflaterInputStream;

/**
 * Reads the messages of a call, each behind a byte that says whether it is compressed and its length in four bytes. For one thread, which may wait.
 * What is wrong is a {@link GrpcException}; an {@link IOException} says that the client will send no more.
 */
final class MessageReader {
    private final InputStream in;
    private final String encoding;
    private final int limit;

    /**
     * @param encoding of compressed messages, as the call's header names it
     * @param limit bytes of a message
     */
    MessageReader(InputStream in, String encoding, int limit) {
        this.in = in;
        this.encoding = encoding;
        this.limit = limit;
    }

    /** The next message, or null at the end. */
    <M> M next(Parser<M> parser) throws IOException {
        int compressed = in.read();
        if (compressed < 0) {
            return null;
        }
        byte[] prefix = in.readNBytes(4);
        if (prefix.length < 4 || compressed > 1) {
            throw new GrpcException(GrpcStatus.INTERNAL, "A message must begin with 0 or 1 and its length in 4 bytes.");
        }
        long length = Integer.toUnsignedLong(new DataInputStream(new ByteArrayInputStream(prefix)).readInt());
        if (length > limit) {
            throw new GrpcException(GrpcStatus.RESOURCE_EXHAUSTED, "The message is too large: at most " + limit + " bytes are allowed, found " + length + ".");
        }
        byte[] message = in.readNBytes((int) length);
        if (message.length < length) {
            throw new GrpcException(GrpcStatus.INTERNAL, "The request ended within a message.");
        }
        try {
            return parser.parseFrom(compressed == 1 ? inflated(message) : message);
        } catch (InvalidProtocolBufferException e) {
            throw new GrpcException(GrpcStatus.INTERNAL, "The message is not what this method takes: " + e.getMessage());
        }
    }

    private byte[] inflated(byte[] message) {
        try (InputStream inflating = inflating(new ByteArrayInputStream(message))) {
            byte[] whole = inflating.readNBytes(limit + 1);
            if (whole.length > limit) {
                throw new GrpcException(GrpcStatus.RESOURCE_EXHAUSTED, "The message is too large: at most " + limit + " bytes are allowed when decompressed.");
            }
            return whole;
        } catch (IOException e) {
            throw new GrpcException(GrpcStatus.INTERNAL, "The message cannot be decompressed: " + e.getMessage());
        }
    }

    private InputStream inflating(InputStream message) throws IOException {
        return switch (encoding) {
            case "gzip" -> new GZIPInputStream(message);
            case "deflate" -> new InflaterInputStream(message);
            default -> throw new GrpcException(GrpcStatus.UNIMPLEMENTED, "The encoding '" + encoding + "' is not supported: there are gzip and deflate.");
        };
    }
}
