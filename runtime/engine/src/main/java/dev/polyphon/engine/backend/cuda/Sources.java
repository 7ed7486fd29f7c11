package dev.polyphon.engine.backend.cuda;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;

/** The kernels' sources, and their machine code in a cache on disk. */
final class Sources {
    static final String HEADER = "common.cuh";

    /** The kernels of each file. */
    static final Map<String, List<String>> KERNELS = Map.of(
            "linear.cu", List.of("linear", "low_rank_shrink", "low_rank_expand"),
            "attention.cu", List.of("rotary", "write_kv", "attention"),
            "pointwise.cu", List.of("embed", "normalise", "activate", "rows", "scale_shift", "turn_pairs"));

    private Sources() {}

    static String read(String name) {
        try (InputStream in = Sources.class.getResourceAsStream(name)) {
            if (in == null) {
                throw new CudaException("the program has no file " + name);
            }
            return new String(in.readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException e) {
            throw new CudaException("cannot read " + name + ": " + e);
        }
    }

    /**
     * The machine code of a file, compiled unless it was before by the same compiler, of the same source, for the same architecture and driver.
     *
     * @param cache a folder, made when missing; a cache that cannot be written costs time, nothing else
     */
    static byte[] compiled(String name, Compiler compiler, String architecture, int driver, Path cache) {
        String source = read(name);
        String header = read(HEADER);
        Path file = cache.resolve(key(name, source, header, architecture, compiler.version(), Integer.toString(driver)) + ".cubin");
        try {
            if (Files.isRegularFile(file)) {
                return Files.readAllBytes(file);
            }
        } catch (IOException e) {
            return compiler.compile(name, source, header, architecture);
        }
        byte[] code = compiler.compile(name, source, header, architecture);
        try {
            Files.createDirectories(cache);
            Path part = Files.createTempFile(cache, name, ".part");
            Files.write(part, code);
            Files.move(part, file, StandardCopyOption.ATOMIC_MOVE);
        } catch (IOException e) {
            return code;
        }
        return code;
    }

    private static String key(String... parts) {
        try {
            MessageDigest digest = MessageDigest.getInstance("SHA-256");
            for (String part : parts) {
                digest.update(part.getBytes(StandardCharsets.UTF_8));
                digest.update((byte) 0);
            }
            return HexFormat.of().formatHex(digest.digest());
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
    }
}
