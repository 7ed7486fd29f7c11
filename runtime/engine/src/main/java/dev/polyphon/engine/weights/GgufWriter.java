package dev.polyphon.engine.weights;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;

/** Writes a GGUF file of version 3, its tensors in the order in which they were added. Not for use by several threads. */
public final class GgufWriter {
    private static final int MAGIC = 0x46554747;
    private static final int VERSION = 3;
    private static final int UINT32 = 4;
    private static final int FLOAT32 = 6;
    private static final int STRING = 8;
    private static final int ARRAY = 9;
    private static final int ALIGNMENT = 32;

    /** Type and value of each entry, encoded. */
    private final Map<String, byte[]> metadata = new LinkedHashMap<>();
    private final Map<String, OutgoingTensor> tensors = new LinkedHashMap<>();

    /** Takes over all metadata of a file but its alignment, which is the usual one here. */
    public GgufWriter metadataOf(Gguf file) {
        for (String key : file.keys()) {
            if (!key.equals("general.alignment")) {
                metadata.put(key, file.encoded(key).toArray(ValueLayout.JAVA_BYTE));
            }
        }
        return this;
    }

    /** Sets a 32-bit unsigned integer. */
    public GgufWriter integer(String key, int value) {
        metadata.put(key, little(8).putInt(UINT32).putInt(value).array());
        return this;
    }

    /** Sets a 32-bit floating-point number. */
    public GgufWriter floating(String key, float value) {
        metadata.put(key, little(8).putInt(FLOAT32).putFloat(value).array());
        return this;
    }

    public GgufWriter string(String key, String value) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        out.writeBytes(little(4).putInt(STRING).array());
        string(out, value);
        metadata.put(key, out.toByteArray());
        return this;
    }

    public GgufWriter strings(String key, List<String> values) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        out.writeBytes(little(16).putInt(ARRAY).putInt(STRING).putLong(values.size()).array());
        values.forEach(value -> string(out, value));
        metadata.put(key, out.toByteArray());
        return this;
    }

    /** @throws IllegalArgumentException if the name is taken */
    public GgufWriter add(OutgoingTensor tensor) {
        if (tensors.putIfAbsent(tensor.name(), tensor) != null) {
            throw new IllegalArgumentException("the tensor name " + tensor.name() + " is taken");
        }
        return this;
    }

    /** Writes the file, whole or not at all: it appears under its name when it is complete, in place of an older one. */
    public void write(Path file) throws IOException {
        Path unfinished = file.resolveSibling(file.getFileName() + "." + UUID.randomUUID() + ".tmp");
        try {
            try (FileChannel channel = FileChannel.open(unfinished, StandardOpenOption.WRITE, StandardOpenOption.CREATE_NEW)) {
                OutgoingTensor.write(channel, ByteBuffer.wrap(header()));
                for (OutgoingTensor tensor : tensors.values()) {
                    pad(channel);
                    tensor.writeTo(channel);
                }
                pad(channel);
                channel.force(true);
            }
            Files.move(unfinished, file, StandardCopyOption.ATOMIC_MOVE);
        } finally {
            Files.deleteIfExists(unfinished);
        }
    }

    private byte[] header() {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        out.writeBytes(little(24).putInt(MAGIC).putInt(VERSION).putLong(tensors.size()).putLong(metadata.size()).array());
        metadata.forEach((key, value) -> {
            string(out, key);
            out.writeBytes(value);
        });
        long offset = 0;
        for (OutgoingTensor tensor : tensors.values()) {
            string(out, tensor.name());
            out.writeBytes(little(4).putInt(tensor.shape().length).array());
            for (int i = tensor.shape().length - 1; i >= 0; i--) {
                out.writeBytes(little(8).putLong(tensor.shape()[i]).array());
            }
            out.writeBytes(little(12).putInt(Gguf.number(tensor.dtype())).putLong(offset).array());
            offset += tensor.bytes() + ALIGNMENT - 1 & -ALIGNMENT;
        }
        return out.toByteArray();
    }

    private static void pad(FileChannel channel) throws IOException {
        int padding = (int) (-channel.position() & ALIGNMENT - 1);
        OutgoingTensor.write(channel, MemorySegment.ofArray(new byte[padding]));
    }

    private static void string(ByteArrayOutputStream out, String text) {
        byte[] utf8 = text.getBytes(StandardCharsets.UTF_8);
        out.writeBytes(little(8).putLong(utf8.length).array());
        out.writeBytes(utf8);
    }

    private static ByteBuffer little(int bytes) {
        return ByteBuffer.allocate(bytes).order(ByteOrder.LITTLE_ENDIAN);
    }
}
