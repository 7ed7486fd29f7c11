package dev.polyphon.engine.weights;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.WritableByteChannel;

/**
 * A tensor that is about to be written to a file. Its bytes are asked for when their turn comes, so that a model is never in memory as a whole.
 *
 * @param shape outermost dimension first
 * @param content gives exactly the bytes that type and shape need
 */
public record OutgoingTensor(String name, DType dtype, long[] shape, Content content) {
    private static final int CHUNK = 1 << 30;

    /** Where a tensor's bytes come from. */
    @FunctionalInterface
    public interface Content {
        /** Writes all of them, little endian. */
        void writeTo(WritableByteChannel channel) throws IOException;
    }

    public OutgoingTensor {
        shape = shape.clone();
    }

    /** A tensor as it is, whose memory must live until it is written. */
    public static OutgoingTensor of(TensorView view) {
        return new OutgoingTensor(view.name(), view.dtype(), view.shape(), channel -> write(channel, view.data()));
    }

    public long bytes() {
        long elements = 1;
        for (long dimension : shape) {
            elements = Math.multiplyExact(elements, dimension);
        }
        return dtype.bytes(elements);
    }

    /** Writes a segment to its end. */
    public static void write(WritableByteChannel channel, MemorySegment data) throws IOException {
        for (long at = 0; at < data.byteSize(); at += CHUNK) {
            write(channel, data.asSlice(at, Math.min(CHUNK, data.byteSize() - at)).asByteBuffer());
        }
    }

    static void write(WritableByteChannel channel, ByteBuffer bytes) throws IOException {
        while (bytes.hasRemaining()) {
            channel.write(bytes);
        }
    }

    /** Writes the content, and holds it to its length. */
    void writeTo(java.nio.channels.FileChannel channel) throws IOException {
        long before = channel.position();
        content.writeTo(channel);
        if (channel.position() - before != bytes()) {
            throw new IllegalStateException("tensor " + name + " gave " + (channel.position() - before) + " bytes, " + bytes() + " were announced");
        }
    }
}
