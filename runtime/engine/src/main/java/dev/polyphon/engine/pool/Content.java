package dev.polyphon.engine.pool;

import dev.polyphon.engine.adapter.AdapterFolder;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** What tells adapters' files apart. */
final class Content {
    private Content() {}

    /** What tells, without reading, whether a file has changed. */
    private record Mark(String name, long bytes, long modified, Object key) {}

    /** Equal as long as the folder's files seem unchanged. */
    static List<?> stamp(Path folder) {
        List<Mark> marks = new ArrayList<>(2);
        for (String name : AdapterFolder.files()) {
            try {
                var file = Files.readAttributes(folder.resolve(name), BasicFileAttributes.class);
                marks.add(new Mark(name, file.size(), file.lastModifiedTime().to(TimeUnit.NANOSECONDS), file.fileKey()));
            } catch (IOException e) {
                continue;
            }
        }
        return marks;
    }

    static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
    }
}
