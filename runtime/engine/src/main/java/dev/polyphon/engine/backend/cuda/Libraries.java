package dev.polyphon.engine.backend.cuda;

import java.io.File;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.SymbolLookup;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Finds NVIDIA's libraries where they usually are: a folder named by {@code polyphon.cuda.path}, {@code CUDA_PATH} and {@code CUDA_HOME}, the loader's own
 * path, the toolkit's and the driver's folders, and the Python packages that PyTorch brings along. Nothing is linked at build time.
 */
@SuppressWarnings("restricted")
final class Libraries {
    static final List<String> DRIVER = List.of("libcuda.so.1", "libcuda.so");
    static final List<String> NVRTC = List.of("libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so");

    private final List<Path> folders;

    private Libraries(Collection<Path> folders) {
        this.folders = List.copyOf(folders);
    }

    static Libraries of(Map<String, String> environment) {
        Set<Path> folders = new LinkedHashSet<>();
        String named = System.getProperty("polyphon.cuda.path", "");
        for (String root : List.of(named, environment.getOrDefault("CUDA_PATH", ""), environment.getOrDefault("CUDA_HOME", ""), "/usr/local/cuda")) {
            if (!root.isEmpty()) {
                folders.add(Path.of(root));
                folders.add(Path.of(root, "lib64"));
                folders.add(Path.of(root, "lib"));
            }
        }
        for (String folder : environment.getOrDefault("LD_LIBRARY_PATH", "").split(File.pathSeparator)) {
            if (!folder.isEmpty()) {
                folders.add(Path.of(folder));
            }
        }
        for (String folder : List.of("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/local/nvidia/lib64", "/usr/lib/wsl/lib")) {
            folders.add(Path.of(folder));
        }
        List<Path> pythons = new ArrayList<>(List.of(Path.of("/usr"), Path.of(System.getProperty("user.home"), ".local")));
        if (environment.containsKey("VIRTUAL_ENV")) {
            pythons.addFirst(Path.of(environment.get("VIRTUAL_ENV")));
        }
        for (String folder : environment.getOrDefault("PATH", "").split(File.pathSeparator)) {
            Path parent = folder.isEmpty() ? null : Path.of(folder).toAbsolutePath().getParent();
            if (parent != null && Files.exists(Path.of(folder, "python3"))) {
                pythons.add(parent);
            }
        }
        for (Path python : pythons) {
            for (Path lib : List.of(python.resolve("lib"), python.resolve("local/lib"))) {
                for (Path version : children(lib, "python3*")) {
                    for (String packages : List.of("site-packages", "dist-packages")) {
                        children(version.resolve(packages).resolve("nvidia"), "*").forEach(p -> folders.add(p.resolve("lib")));
                    }
                }
            }
        }
        return new Libraries(folders);
    }

    /** Looks in one folder alone. */
    static Libraries in(Path folder) {
        return new Libraries(List.of(folder));
    }

    private static List<Path> children(Path folder, String glob) {
        List<Path> found = new ArrayList<>();
        if (Files.isDirectory(folder)) {
            try (DirectoryStream<Path> stream = Files.newDirectoryStream(folder, glob)) {
                stream.forEach(found::add);
            } catch (IOException e) {
                return found;
            }
        }
        return found;
    }

    /**
     * Opens the first of these names that is found; it stays open.
     *
     * @throws CudaException naming the library, each place where it was looked for, and why what was found could not be opened
     */
    SymbolLookup open(List<String> names) {
        List<String> failures = new ArrayList<>();
        for (Path folder : folders) {
            for (String name : names) {
                Path file = folder.resolve(name);
                if (Files.exists(file)) {
                    try {
                        return SymbolLookup.libraryLookup(file, Arena.global());
                    } catch (IllegalArgumentException e) {
                        failures.add(file + " does not open: " + e.getMessage());
                    }
                }
            }
        }
        for (String name : names) {
            try {
                return SymbolLookup.libraryLookup(name, Arena.global());
            } catch (IllegalArgumentException e) {
                continue;
            }
        }
        throw new CudaException(names.getFirst() + " was not found: " + (failures.isEmpty() ? "" : String.join("; ", failures) + "; ")
                + "looked in the system's folders and in " + folders.stream().filter(Files::isDirectory).map(Path::toString).toList());
    }
}
