package dev.polyphon.engine;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;

/** Models that a user of this machine has fetched; tests that need them are skipped elsewhere. */
final class TestModels {
    private TestModels() {}

    /** A file in the model cache, or null. */
    static Path find(String name) throws IOException {
        String cache = System.getenv().getOrDefault("POLYPHON_CACHE", System.getProperty("user.home") + "/.cache/polyphon");
        Path models = Path.of(cache, "models");
        if (!Files.isDirectory(models)) {
            return null;
        }
        try (Stream<Path> files = Files.walk(models)) {
            return files.filter(p -> p.getFileName().toString().equals(name)).findFirst().orElse(null);
        }
    }
}
