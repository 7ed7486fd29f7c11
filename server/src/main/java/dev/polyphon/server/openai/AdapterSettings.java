package dev.polyphon.server.openai;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;

/**
 * What clients may do about adapters.
 *
 * @param loading whether they may load and unload them
 * @param roots folders that adapters may be loaded from; empty for any
 */
public record AdapterSettings(boolean loading, List<Path> roots) {
    public AdapterSettings {
        roots = List.copyOf(roots);
    }

    /** Whether a folder may be loaded from, which is given as a real path, so that no link leads out. */
    public boolean allows(Path folder) {
        return roots.isEmpty() || roots.stream().anyMatch(root -> within(root, folder));
    }

    /** Whether a tenant may load from a folder, which is given as a real path: only below the roots' folders with its name. */
    public boolean allows(Path folder, String tenant) {
        return roots.stream().anyMatch(root -> within(root.resolve(tenant), folder));
    }

    private static boolean within(Path root, Path folder) {
        try {
            return folder.startsWith(root.toRealPath());
        } catch (IOException e) {
            return false;
        }
    }
}
