package dev.polyphon.engine.backend.cuda;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** NVIDIA's run-time compiler (<a href="https://docs.nvidia.com/cuda/nvrtc/">NVRTC</a>): CUDA C++ to machine code of one architecture. No GPU is needed. */
@SuppressWarnings("restricted")
final class Nvrtc implements Compiler {
    static final List<String> OPTIONS = List.of("--std=c++17");

    static final Map<String, MemoryLayout[]> FUNCTIONS = new LinkedHashMap<>();

    static {
        FUNCTIONS.put("nvrtcVersion", new MemoryLayout[] {ADDRESS, ADDRESS});
        FUNCTIONS.put("nvrtcCreateProgram", new MemoryLayout[] {ADDRESS, ADDRESS, ADDRESS, JAVA_INT, ADDRESS, ADDRESS});
        FUNCTIONS.put("nvrtcDestroyProgram", new MemoryLayout[] {ADDRESS});
        FUNCTIONS.put("nvrtcCompileProgram", new MemoryLayout[] {ADDRESS, JAVA_INT, ADDRESS});
        FUNCTIONS.put("nvrtcGetCUBINSize", new MemoryLayout[] {ADDRESS, ADDRESS});
        FUNCTIONS.put("nvrtcGetCUBIN", new MemoryLayout[] {ADDRESS, ADDRESS});
        FUNCTIONS.put("nvrtcGetProgramLogSize", new MemoryLayout[] {ADDRESS, ADDRESS});
        FUNCTIONS.put("nvrtcGetProgramLog", new MemoryLayout[] {ADDRESS, ADDRESS});
    }

    private final Map<String, MethodHandle> handles = new LinkedHashMap<>();
    private final String version;

    Nvrtc(SymbolLookup library) {
        FUNCTIONS.forEach((name, parameters) -> handles.put(name, Linker.nativeLinker().downcallHandle(
                library.find(name).orElseThrow(() -> new CudaException("NVRTC has no function " + name + ": it is too old")),
                FunctionDescriptor.of(JAVA_INT, parameters))));
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment numbers = arena.allocate(JAVA_INT, 2);
            check("nvrtcVersion", status("nvrtcVersion", numbers, numbers.asSlice(4)), "");
            version = numbers.getAtIndex(JAVA_INT, 0) + "." + numbers.getAtIndex(JAVA_INT, 1);
        }
    }

    private int status(String function, Object... arguments) {
        try {
            return (int) handles.get(function).invokeWithArguments(arguments);
        } catch (Throwable e) {
            throw new IllegalStateException(function, e);
        }
    }

    private static void check(String function, int status, String detail) {
        if (status != 0) {
            throw new CudaException(function + " failed (" + status + ")" + detail);
        }
    }

    @Override
    public String version() {
        return "NVRTC " + version + " " + OPTIONS;
    }

    @Override
    public byte[] compile(String name, String source, String header, String architecture) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment out = arena.allocate(ADDRESS);
            MemorySegment headers = arena.allocate(ADDRESS);
            MemorySegment names = arena.allocate(ADDRESS);
            headers.set(ADDRESS, 0, arena.allocateFrom(header));
            names.set(ADDRESS, 0, arena.allocateFrom(Sources.HEADER));
            check("nvrtcCreateProgram", status("nvrtcCreateProgram", out, arena.allocateFrom(source), arena.allocateFrom(name), 1, headers, names), name);
            MemorySegment program = out.get(ADDRESS, 0);
            try {
                MemorySegment options = arena.allocate(ADDRESS, OPTIONS.size() + 1);
                options.setAtIndex(ADDRESS, 0, arena.allocateFrom("--gpu-architecture=" + architecture));
                for (int i = 0; i < OPTIONS.size(); i++) {
                    options.setAtIndex(ADDRESS, i + 1, arena.allocateFrom(OPTIONS.get(i)));
                }
                int status = status("nvrtcCompileProgram", program, OPTIONS.size() + 1, options);
                if (status != 0) {
                    byte[] log = bytes(arena, program, "nvrtcGetProgramLogSize", "nvrtcGetProgramLog");
                    throw new CudaException(name + " does not compile for " + architecture + " (" + status + "): " + new String(log).trim());
                }
                return bytes(arena, program, "nvrtcGetCUBINSize", "nvrtcGetCUBIN");
            } finally {
                out.set(ADDRESS, 0, program);
                status("nvrtcDestroyProgram", out);
            }
        }
    }

    private byte[] bytes(Arena arena, MemorySegment program, String sizeFunction, String function) {
        MemorySegment size = arena.allocate(JAVA_LONG);
        check(sizeFunction, status(sizeFunction, program, size), "");
        MemorySegment data = arena.allocate(Math.max(1, size.get(JAVA_LONG, 0)));
        check(function, status(function, program, data), "");
        return data.toArray(JAVA_BYTE);
    }
}
