package dev.polyphon.measure.random;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.stream.Stream;

/** A folder that is gone with all it holds when it is closed. */
public final class Temporary implements AutoCloseable {
    private final Path path;

    public Temporary() throws IOException {
        path = Files.createTempDirectory("polyphon-measure");
    }

    /** In another one. */
    public Temporary(Path parent) throws IOException {
        path = Files.createTempDirectory(parent, "polyphon-measure");
    }

    public Path path() {
        return path;
    }

    @Override
    public void close() throws IOException {
        try (Stream<Path> files = Files.walk(path)) {
            files.sorted(Comparator.reverseOrder()).forEach(file -> {
                try {
                    Files.delete(file);
                } catch (IOException e) {
                    throw new UncheckedIOException(e);
                }
            });
        }
    }
}
