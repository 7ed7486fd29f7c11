package dev.polyphon.engine.weights;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;

/** Makes zip files with a pickle, right or wrong, as torch lays them out. */
final class TorchBuilder {

    private final Map<String, byte[]> entries = new LinkedHashMap<>();
    private final ByteArrayOutputStream pickle = new ByteArrayOutputStream();
    private int method;

    /** Adds opcodes and their arguments: each char is a byte. */
    TorchBuilder code(String opcodes) {
        pickle.writeBytes(opcodes.getBytes(StandardCharsets.ISO_8859_1));
        return this;
    }

    TorchBuilder string(String text) {
        byte[] utf8 = text.getBytes(StandardCharsets.UTF_8);
        pickle.write('X');
        pickle.writeBytes(little(4).putInt(utf8.length).array());
        pickle.writeBytes(utf8);
        return this;
    }

    TorchBuilder integer(long value) {
        pickle.write(0x8a);
        pickle.write(8);
        pickle.writeBytes(little(8).putLong(value).array());
        return this;
    }

    TorchBuilder integers(long... values) {
        code("(");
        for (long value : values) {
            integer(value);
        }
        return code("t");
    }

    /** An F32 tensor in the storage {@code key}. */
    TorchBuilder tensor(String key, long storageElements, long offset, long[] shape, long[] strides) {
        code("ctorch._utils\n_rebuild_tensor_v2\n((").string("storage").code("ctorch\nFloatStorage\n").string(key).string("cpu").integer(storageElements);
        return code("tQ").integer(offset).integers(shape).integers(strides).code("\u0089ccollections\nOrderedDict\n)RtR");
    }

    TorchBuilder entry(String name, byte... data) {
        entries.put(name, data);
        return this;
    }

    /** The compression method that the entries claim to have. */
    TorchBuilder method(int method) {
        this.method = method;
        return this;
    }

    /** A state dict with one tensor "a" over the storage "0" of so many bytes. */
    static TorchBuilder single(int storageBytes, long storageElements, long offset, long[] shape, long[] strides) {
        return new TorchBuilder().code("\u0080\u0002}").string("a").tensor("0", storageElements, offset, shape, strides).code("s.")
                .entry("data/0", new byte[storageBytes]);
    }

    byte[] build() {
        return build(false);
    }

    /** @param zip64 put sizes, offsets and counts where files over 4 GiB have them */
    byte[] build(boolean zip64) {
        Map<String, byte[]> all = new LinkedHashMap<>();
        if (pickle.size() > 0) {
            all.put("archive/data.pkl", pickle.toByteArray());
        }
        entries.forEach((name, data) -> all.put("archive/" + name, data));
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        ByteArrayOutputStream directory = new ByteArrayOutputStream();
        all.forEach((name, data) -> {
            byte[] utf8 = name.getBytes(StandardCharsets.UTF_8);
            int header = out.size();
            out.writeBytes(little(30).putInt(0x04034b50).position(8).putShort((short) method).position(26).putShort((short) utf8.length).array());
            out.writeBytes(utf8);
            out.writeBytes(data);
            ByteBuffer central = little(46).putInt(0x02014b50).position(10).putShort((short) method).position(20);
            central.putInt(zip64 ? -1 : data.length).putInt(zip64 ? -1 : data.length).putShort((short) utf8.length).putShort((short) (zip64 ? 36 : 0));
            directory.writeBytes(central.putInt(42, zip64 ? -1 : header).array());
            directory.writeBytes(utf8);
            if (zip64) {
                directory.writeBytes(little(8).putShort((short) 0x5455).putShort((short) 4).array());
                directory.writeBytes(little(28).putShort((short) 1).putShort((short) 24).putLong(data.length).putLong(data.length).putLong(header).array());
            }
        });
        long start = out.size();
        out.writeBytes(directory.toByteArray());
        if (zip64) {
            long end = out.size();
            out.writeBytes(little(56).putInt(0x06064b50).putLong(44).position(24).putLong(all.size()).putLong(all.size()).putLong(directory.size())
                    .putLong(start).array());
            out.writeBytes(little(20).putInt(0x07064b50).putInt(0).putLong(end).putInt(1).array());
        }
        short count = zip64 ? -1 : (short) all.size();
        out.writeBytes(little(22).putInt(0x06054b50).putInt(0).putShort(count).putShort(count).putInt(zip64 ? -1 : directory.size())
                .putInt(zip64 ? -1 : (int) start).array());
        return out.toByteArray();
    }

    private static ByteBuffer little(int bytes) {
        return ByteBuffer.allocate(bytes).order(ByteOrder.LITTLE_ENDIAN);
    }
}
