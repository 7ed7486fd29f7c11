package dev.polyphon.engine.weights;

import com.fasterxml.jackson.core.JsonEncoding;
import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;

/**
 * Writes a safetensors file from tensors that stay where they are until then: nothing is gathered in memory. Wide types come first, so that every
 * tensor is aligned to its elements. Not for use by several threads.
 */
public final class SafeTensorsWriter {

    /** Data starts at a multiple of this; the header is padded with spaces. */
    private static final int ALIGNMENT = 8;

    private final Map<String, String> metadata = new LinkedHashMap<>();
    private final Map<String, OutgoingTensor> tensors = new LinkedHashMap<>();

    /** Adds an entry to the header's {@code __metadata__}. */
    public SafeTensorsWriter metadata(String key, String value) {
        metadata.put(key, value);
        return this;
    }

    /**
     * Adds a tensor, whose memory must live until {@link #write}.
     *
     * @throws IllegalArgumentException if the name is taken, or the type is a quantised one, which the format does not have
     */
    public SafeTensorsWriter add(TensorView tensor) {
        return add(OutgoingTensor.of(tensor));
    }

    /**
     * Adds a tensor whose bytes are asked for by {@link #write}.
     *
     * @throws IllegalArgumentException as above
     */
    public SafeTensorsWriter add(OutgoingTensor tensor) {
        if (tensor.dtype().quantised()) {
            throw new IllegalArgumentException("tensor " + tensor.name() + ": safetensors has no type " + tensor.dtype());
        }
        if (tensor.name().equals("__metadata__") || tensors.putIfAbsent(tensor.name(), tensor) != null) {
            throw new IllegalArgumentException("the tensor name " + tensor.name() + " is taken");
        }
        return this;
    }

    /** Adds an F32 tensor. */
    public SafeTensorsWriter add(String name, long[] shape, float... values) {
        ByteBuffer data = ByteBuffer.allocate(Math.multiplyExact(Float.BYTES, values.length)).order(ByteOrder.LITTLE_ENDIAN);
        data.asFloatBuffer().put(values);
        return add(new TensorView(name, DType.F32, shape, MemorySegment.ofBuffer(data)));
    }

    /** Writes the file, whole or not at all: it appears under its name when it is complete, in place of an older one. */
    public void write(Path file) throws IOException {
        List<OutgoingTensor> ordered = tensors.values().stream()
                .sorted(Comparator.comparingInt((OutgoingTensor t) -> t.dtype().blockBytes()).reversed())
                .toList();
        byte[] header = header(ordered);
        Path unfinished = file.resolveSibling(file.getFileName() + "." + UUID.randomUUID() + ".tmp");
        try {
            try (FileChannel channel = FileChannel.open(unfinished, StandardOpenOption.WRITE, StandardOpenOption.CREATE_NEW)) {
                OutgoingTensor.write(channel, ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(header.length).flip());
                OutgoingTensor.write(channel, ByteBuffer.wrap(header));
                for (OutgoingTensor tensor : ordered) {
                    tensor.writeTo(channel);
                }
                channel.force(true);
            }
            Files.move(unfinished, file, StandardCopyOption.ATOMIC_MOVE);
        } finally {
            Files.deleteIfExists(unfinished);
        }
    }

    private byte[] header(List<OutgoingTensor> ordered) throws IOException {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        try (JsonGenerator json = new JsonFactory().createGenerator(out, JsonEncoding.UTF8)) {
            json.writeStartObject();
            if (!metadata.isEmpty()) {
                json.writeObjectFieldStart("__metadata__");
                for (Map.Entry<String, String> entry : metadata.entrySet()) {
                    json.writeStringField(entry.getKey(), entry.getValue());
                }
                json.writeEndObject();
            }
            long offset = 0;
            for (OutgoingTensor tensor : ordered) {
                long end = offset + tensor.bytes();
                json.writeObjectFieldStart(tensor.name());
                json.writeStringField("dtype", tensor.dtype().name());
                json.writeFieldName("shape");
                json.writeArray(tensor.shape(), 0, tensor.shape().length);
                json.writeFieldName("data_offsets");
                json.writeArray(new long[]{offset, end}, 0, 2);
                json.writeEndObject();
                offset = end;
            }
            json.writeEndObject();
        }
        while (out.size() % ALIGNMENT != 0) {
            out.write(' ');
        }
        return out.toByteArray();
    }
}
