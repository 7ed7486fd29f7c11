package dev.polyphon.engine.backend.cuda;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** The kernels' sources, and their machine code in a cache on disk. */
final class Sources {
    static final String HEADER = "common.cuh";
    static final String PRODUCT = "product.cu";
    static final String ATTEND = "attend.cu";

    private static final int TYPES = 9;
    private static final int BF16 = 2;

    /** The kernels of each file that every engine needs. */
    static final Map<String, List<String>> KERNELS = Map.of(
            "linear.cu", List.of("linear", "low_rank_shrink", "low_rank_expand"),
            "attention.cu", List.of("rotary", "write_kv", "rotate_store", "attention"),
            "pointwise.cu", List.of("embed", "normalise", "activate", "rows", "scale_shift", "turn_pairs"),
            "sample.cu", List.of("sample"),
            ATTEND, List.of("attend_64", "attend_128", "attend_256", "attend_split_64", "attend_split_128", "attend_split_256"));

    /** A file, or for product.cu the part of it for a type of weights: {@code product.cu:2}. */
    static final Map<String, List<String>> ALL = all();

    /** AT_LAUNCH_BYTES of product.cu. */
    private static final int AT_LAUNCH_BYTES = 96 << 10;
    /** Of product_wide. */
    static final int WIDE_BYTES = 112 << 10;
    private static final Map<String, Integer> SHARED = Map.of("product_2_8", AT_LAUNCH_BYTES, "product_2_32", AT_LAUNCH_BYTES, "product_2_64", AT_LAUNCH_BYTES,
            "product_wide", WIDE_BYTES,
            "attend_64", 48 << 10, "attend_128", 96 << 10, "attend_256", 96 << 10);

    private static Map<String, List<String>> all() {
        Map<String, List<String>> all = new LinkedHashMap<>(KERNELS);
        for (int type = 0; type < TYPES; type++) {
            String name = "product_" + type;
            List<String> kernels = new ArrayList<>(List.of(name + "_8", name + "_32", name + "_64"));
            if (type == BF16) {
                kernels.addAll(List.of("round_rows", "product_wide"));
            }
            all.put(product(type), List.copyOf(kernels));
        }
        return all;
    }

    /** Bytes of shared memory that a block of a kernel is given when it is launched, beside what the kernel declares. */
    static int shared(String kernel) {
        return SHARED.getOrDefault(kernel, 0);
    }

    /** The part of product.cu for weights of a type. */
    static String product(int type) {
        return PRODUCT + ":" + type;
    }

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
     * The machine code of a file or a part, compiled unless it was before by the same compiler, of the same source, for the same architecture and driver.
     *
     * @param cache a folder, made when missing; a cache that cannot be written costs time, nothing else
     */
    static byte[] compiled(String name, Compiler compiler, String architecture, int driver, Path cache) {
        int part = name.indexOf(':');
        String source = part < 0 ? read(name) : "#define TYPE_NUMBER " + name.substring(part + 1) + "\n" + read(name.substring(0, part));
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
            Path written = Files.createTempFile(cache, "kernels", ".part");
            Files.write(written, code);
            Files.move(written, file, StandardCopyOption.ATOMIC_MOVE);
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
