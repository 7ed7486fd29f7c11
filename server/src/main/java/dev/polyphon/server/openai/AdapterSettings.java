package dev.polyphon.server.openai;

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
}
