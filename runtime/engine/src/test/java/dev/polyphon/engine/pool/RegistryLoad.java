package dev.polyphon.engine.pool;

import dev.polyphon.runtime.AdapterId;
import dev.polyphon.runtime.AdapterRegistration;
import dev.polyphon.runtime.AdapterSource;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;

/** Measures what so many registered adapters take: time to register them in batches, time to open them again, and heap. */
final class RegistryLoad {
    private static final int BATCH = 1000;

    private RegistryLoad() {}

    public static void main(String[] args) throws IOException {
        int count = Integer.parseInt(args[0]);
        Path file = Files.createTempDirectory("registry").resolve("adapters.db");
        long start = System.nanoTime();
        try (Registry registry = Registry.open("base", file)) {
            for (int from = 0; from < count; from += BATCH) {
                Map<AdapterRegistration, String> batch = new LinkedHashMap<>();
                for (int i = from; i < Math.min(count, from + BATCH); i++) {
                    batch.put(new AdapterRegistration(new AdapterId("tenant-" + i % 200, "adapter-" + i), "base",
                            new AdapterSource.Folder(Path.of("/srv/adapters/tenant-" + i % 200 + "/adapter-" + i)), Map.of("team", "t" + i % 50), null, false), "");
                }
                registry.add(batch);
            }
            System.out.printf("%d adapters registered in %.1f s, batches of %d%n", count, (System.nanoTime() - start) / 1e9, BATCH);
        }
        start = System.nanoTime();
        try (Registry registry = Registry.open("base", file)) {
            double seconds = (System.nanoTime() - start) / 1e9;
            System.gc();
            Runtime runtime = Runtime.getRuntime();
            System.out.printf("%d opened again in %.1f s; heap in use %d MB; database %d MB%n", registry.live().size(), seconds,
                    (runtime.totalMemory() - runtime.freeMemory()) >> 20, Files.size(file) >> 20);
        } finally {
            Files.deleteIfExists(file);
        }
    }
}
