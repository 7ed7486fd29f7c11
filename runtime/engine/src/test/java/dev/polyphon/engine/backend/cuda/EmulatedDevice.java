package dev.polyphon.engine.backend.cuda;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.SymbolLookup;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.Assumptions;

/**
 * A libcuda for the processor, made of the kernels' own sources and {@code src/test/cpp/emulator.cpp} by the machine's C++ compiler: what runs in these
 * tests is the code that runs on a GPU, thread by thread, and the calls are those of the driver.
 */
public final class EmulatedDevice {
    private static SymbolLookup library;

    private EmulatedDevice() {}

    /** Code is not needed: the emulated driver finds kernels in itself. */
    private static final Compiler NO_COMPILER = new Compiler() {
        @Override
        public String version() {
            return "none";
        }

        @Override
        public byte[] compile(String name, String source, String header, String architecture) {
            return new byte[] {1};
        }
    };

    static Driver driver() {
        return new Driver(library());
    }

    public static CudaKernels open(long memory, Precision precision) {
        return CudaKernels.open(driver(), NO_COMPILER, 0, memory, Path.of("target/emulated"), precision);
    }

    @SuppressWarnings("restricted")
    private static synchronized SymbolLookup library() {
        Assumptions.assumeTrue(System.getProperty("os.arch").equals("amd64"), "the emulated device needs an x86-64 processor");
        if (library == null) {
            try {
                library = SymbolLookup.libraryLookup(build(), Arena.global());
            } catch (IOException e) {
                throw new IllegalStateException(e);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw new IllegalStateException(e);
            }
        }
        return library;
    }

    private static Path build() throws IOException, InterruptedException {
        Path folder = Files.createDirectories(Path.of("target/emulated"));
        StringBuilder kernels = new StringBuilder(Sources.read(Sources.HEADER));
        for (String name : Stream.concat(Sources.KERNELS.keySet().stream(), Stream.of(Sources.PRODUCT)).toList()) {
            kernels.append('\n').append(Sources.read(name).replace("#include \"" + Sources.HEADER + "\"", ""));
        }
        Files.writeString(folder.resolve("kernels.inc"), kernels);
        Path out = folder.resolve("libcuda-emulated-" + ProcessHandle.current().pid() + ".so").toAbsolutePath();
        List<String> command = new ArrayList<>(List.of("g++", "-std=c++17", "-O2", "-mfma", "-fPIC", "-shared", "-w", "-I" + folder, "-o", out.toString()));
        // The toolkit's header, where there is one, proves that the functions have the driver's own signatures.
        Path include = Path.of(System.getenv().getOrDefault("CUDA_PATH", "none"), "include");
        if (Files.exists(include.resolve("cuda.h"))) {
            command.addAll(List.of("-DCHECK_CUDA_H", "-I" + include));
        }
        command.addAll(List.of("src/test/cpp/emulator.cpp", "-ldl"));
        Process compiler;
        try {
            compiler = new ProcessBuilder(command).redirectErrorStream(true).start();
        } catch (IOException e) {
            Assumptions.abort("there is no C++ compiler to make the emulated device with: " + e.getMessage());
            return null;
        }
        String output = new String(compiler.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        if (!compiler.waitFor(2, TimeUnit.MINUTES) || compiler.exitValue() != 0) {
            throw new IllegalStateException("the emulated device does not compile: " + output);
        }
        out.toFile().deleteOnExit();
        return out;
    }
}
