package dev.polyphon.engine.weights;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Makes small GGUF files for tests. Shapes are outermost first, as in {@link TensorView}. */
public final class GgufBuilder {

    private static final int ALIGNMENT = 32;

    private record Tensor(String name, int type, long[] shape, byte[] data) {}

    private int version = 3;
    private final Map<String, Object> metadata = new LinkedHashMap<>();
    private final List<Tensor> tensors = new ArrayList<>();

    public GgufBuilder version(int version) {
        this.version = version;
        return this;
    }

    /** Adds a value: Integer (uint32), Long (int64), Float, Double, Boolean, String, int[], float[] or a list of strings. */
    public GgufBuilder metadata(String key, Object value) {
        metadata.put(key, value);
        return this;
    }

    /** Adds a tensor of the given GGML type number. */
    public GgufBuilder tensor(String name, int type, long[] shape, byte[] data) {
        tensors.add(new Tensor(name, type, shape, data));
        return this;
    }

    public GgufBuilder f32(String name, long[] shape, float... values) {
        ByteBuffer data = little(4 * values.length);
        data.asFloatBuffer().put(values);
        return tensor(name, 0, shape, data.array());
    }

    public byte[] build() {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        int32(out, 0x46554747);
        int32(out, version);
        int64(out, tensors.size());
        int64(out, metadata.size());
        metadata.forEach((key, value) -> {
            string(out, key);
            value(out, value);
        });
        long offset = 0;
        for (Tensor tensor : tensors) {
            string(out, tensor.name);
            int32(out, tensor.shape.length);
            for (int i = tensor.shape.length - 1; i >= 0; i--) {
                int64(out, tensor.shape[i]);
            }
            int32(out, tensor.type);
            int64(out, offset);
            offset += tensor.data.length + ALIGNMENT - 1 & -ALIGNMENT;
        }
        for (Tensor tensor : tensors) {
            out.writeBytes(new byte[-out.size() & ALIGNMENT - 1]);
            out.writeBytes(tensor.data);
        }
        return out.toByteArray();
    }

    public Path write(Path file) throws IOException {
        return Files.write(file, build());
    }

    private static void value(ByteArrayOutputStream out, Object value) {
        switch (value) {
            case Integer i -> {
                int32(out, 4);
                int32(out, i);
            }
            case Long l -> {
                int32(out, 11);
                int64(out, l);
            }
            case Float f -> {
                int32(out, 6);
                int32(out, Float.floatToRawIntBits(f));
            }
            case Double d -> {
                int32(out, 12);
                int64(out, Double.doubleToRawLongBits(d));
            }
            case Boolean b -> {
                int32(out, 7);
                out.write(b ? 1 : 0);
            }
            case String s -> {
                int32(out, 8);
                string(out, s);
            }
            case int[] ints -> {
                array(out, 5, ints.length);
                for (int i : ints) {
                    int32(out, i);
                }
            }
            case float[] floats -> {
                array(out, 6, floats.length);
                for (float f : floats) {
                    int32(out, Float.floatToRawIntBits(f));
                }
            }
            case List<?> strings -> {
                array(out, 8, strings.size());
                strings.forEach(s -> string(out, (String) s));
            }
            default -> throw new IllegalArgumentException(value.getClass().getName());
        }
    }

    private static void array(ByteArrayOutputStream out, int kind, int count) {
        int32(out, 9);
        int32(out, kind);
        int64(out, count);
    }

    private static void string(ByteArrayOutputStream out, String s) {
        byte[] utf8 = s.getBytes(StandardCharsets.UTF_8);
        int64(out, utf8.length);
        out.writeBytes(utf8);
    }

    private static void int32(ByteArrayOutputStream out, int value) {
        out.writeBytes(little(4).putInt(value).array());
    }

    private static void int64(ByteArrayOutputStream out, long value) {
        out.writeBytes(little(8).putLong(value).array());
    }

    private static ByteBuffer little(int bytes) {
        return ByteBuffer.allocate(bytes).order(ByteOrder.LITTLE_ENDIAN);
    }
}
