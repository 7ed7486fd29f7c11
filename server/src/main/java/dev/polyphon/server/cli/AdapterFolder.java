package dev.polyphon.server.cli;

import dev.polyphon.runtime.AdapterCatalog;
import dev.polyphon.runtime.AdapterRegistration;
import dev.polyphon.runtime.RuntimeFault;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** A folder whose sub-folders are adapters. */
final class AdapterFolder {
    private static final Logger LOG = LoggerFactory.getLogger(AdapterFolder.class);

    private AdapterFolder() {}

    /**
     * Registers every adapter under its folder's name. A sub-folder that is none is left out, with a warning that says why: one bad adapter
     * does not keep the others from being served.
     */
    static void registerAll(Path folder, String base, AdapterCatalog catalog) throws IOException {
        List<Path> entries;
        try (var found = Files.list(folder)) {
            entries = found.filter(Files::isDirectory).sorted().toList();
        }
        for (Path entry : entries) {
            String name = entry.getFileName().toString();
            try {
                catalog.register(AdapterRegistration.folder(name, base, entry).replacing(true));
            } catch (RuntimeFault fault) {
                LOG.warn("adapter {} is left out: {}", name, fault.getMessage());
            }
        }
    }
}
