package dev.polyphon.engine.pool;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;

/** The files of an adapter's folder that say what it is. */
final class Content {
    private static final List<String> FILES =
            List.of("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin", "adapter.safetensors", "pytorch_adapter.bin");

    private Content() {}

    /** What tells, without reading, whether a file has changed. */
    private record Mark(String name, long bytes, long modified, Object key) {}

    /** Equal as long as the folder's files seem unchanged. */
    static List<?> stamp(Path folder) {
        List<Mark> marks = new ArrayList<>(2);
        for (String name : FILES) {
            try {
                var file = Files.readAttributes(folder.resolve(name), BasicFileAttributes.class);
                marks.add(new Mark(name, file.size(), file.lastModifiedTime().to(java.util.concurrent.TimeUnit.NANOSECONDS), file.fileKey()));
            } catch (IOException e) {
                continue;
            }
        }
        return marks;
    }

    /** SHA-256 over names, lengths and bytes, in hex. */
    static String hash(Path folder) throws IOException {
        MessageDigest digest;
        try {
            digest = MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
        byte[] buffer = new byte[1 << 16];
        for (String name : FILES) {
            Path file = folder.resolve(name);
            try (InputStream in = Files.newInputStream(file)) {
                digest.update((name + ' ' + Files.size(file) + '\n').getBytes(StandardCharsets.UTF_8));
                for (int n = in.read(buffer); n >= 0; n = in.read(buffer)) {
                    digest.update(buffer, 0, n);
                }
            } catch (NoSuchFileException e) {
                continue;
            }
        }
        return HexFormat.of().formatHex(digest.digest());
    }
}
