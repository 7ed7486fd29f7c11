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
import java.util.Map;

/**
 * The driver API's functions that are used here, by their names in the library
 * (<a href="https://docs.nvidia.com/cuda/cuda-driver-api/">CUDA Driver API</a>). Every call that does not succeed throws; it names the function and what
 * it was called for.
 */
@SuppressWarnings("restricted")
final class Driver {
    static final int OUT_OF_MEMORY = 2;
    static final int MULTIPROCESSORS = 16;
    static final int MAJOR = 75;
    static final int MINOR = 76;
    static final int SHARED_BYTES_OF_A_BLOCK = 97;
    static final int SHARED_BYTES_OF_A_FUNCTION = 8;

    /** The signatures, all of which return a status. */
    static final Map<String, MemoryLayout[]> FUNCTIONS = new LinkedHashMap<>();

    static {
        function("cuInit", JAVA_INT);
        function("cuDriverGetVersion", ADDRESS);
        function("cuDeviceGetCount", ADDRESS);
        function("cuDeviceGet", ADDRESS, JAVA_INT);
        function("cuDeviceGetName", ADDRESS, JAVA_INT, JAVA_INT);
        function("cuDeviceGetAttribute", ADDRESS, JAVA_INT, JAVA_INT);
        function("cuDevicePrimaryCtxRetain", ADDRESS, JAVA_INT);
        function("cuDevicePrimaryCtxRelease_v2", JAVA_INT);
        function("cuCtxSetCurrent", ADDRESS);
        function("cuMemGetInfo_v2", ADDRESS, ADDRESS);
        function("cuMemAlloc_v2", ADDRESS, JAVA_LONG);
        function("cuMemFree_v2", JAVA_LONG);
        function("cuMemHostAlloc", ADDRESS, JAVA_LONG, JAVA_INT);
        function("cuMemFreeHost", ADDRESS);
        function("cuMemcpyHtoDAsync_v2", JAVA_LONG, ADDRESS, JAVA_LONG, ADDRESS);
        function("cuMemcpyDtoHAsync_v2", ADDRESS, JAVA_LONG, JAVA_LONG, ADDRESS);
        function("cuMemsetD8Async", JAVA_LONG, JAVA_BYTE, JAVA_LONG, ADDRESS);
        function("cuStreamCreate", ADDRESS, JAVA_INT);
        function("cuStreamDestroy_v2", ADDRESS);
        function("cuStreamSynchronize", ADDRESS);
        function("cuModuleLoadData", ADDRESS, ADDRESS);
        function("cuModuleUnload", ADDRESS);
        function("cuModuleGetFunction", ADDRESS, ADDRESS, ADDRESS);
        function("cuFuncSetAttribute", ADDRESS, JAVA_INT, JAVA_INT);
        function("cuLaunchKernelEx", ADDRESS, ADDRESS, ADDRESS, ADDRESS);
        function("cuStreamBeginCapture_v2", ADDRESS, JAVA_INT);
        function("cuStreamEndCapture", ADDRESS, ADDRESS);
        function("cuGraphInstantiateWithFlags", ADDRESS, ADDRESS, JAVA_LONG);
        function("cuGraphLaunch", ADDRESS, ADDRESS);
        function("cuGraphDestroy", ADDRESS);
        function("cuGraphExecDestroy", ADDRESS);
        function("cuGetErrorName", JAVA_INT, ADDRESS);
        function("cuGetErrorString", JAVA_INT, ADDRESS);
    }

    private static void function(String name, MemoryLayout... parameters) {
        FUNCTIONS.put(name, parameters);
    }

    private final Map<String, MethodHandle> handles = new LinkedHashMap<>();
    private final MethodHandle launch;

    Driver(SymbolLookup library) {
        FUNCTIONS.forEach((name, parameters) -> handles.put(name, Linker.nativeLinker().downcallHandle(
                library.find(name).orElseThrow(() -> new CudaException("the driver has no function " + name + ": it is too old")),
                FunctionDescriptor.of(JAVA_INT, parameters))));
        launch = handles.get("cuLaunchKernelEx");
    }

    /** Calls a function and gives its status. */
    int status(String function, Object... arguments) {
        try {
            return (int) handles.get(function).invokeWithArguments(arguments);
        } catch (Throwable e) {
            throw new IllegalStateException(function, e);
        }
    }

    /** @param purpose for the message */
    void call(String purpose, String function, Object... arguments) {
        int status = status(function, arguments);
        if (status != 0) {
            throw failure(function, purpose, status);
        }
    }

    CudaException failure(String function, String purpose, int status) {
        return new CudaException(function + " failed for " + purpose + ": " + text("cuGetErrorName", status) + ", " + text("cuGetErrorString", status)
                + " (" + status + ")");
    }

    private String text(String function, int status) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment out = arena.allocate(ADDRESS);
            return status(function, status, out) == 0 ? out.get(ADDRESS, 0).reinterpret(256).getString(0) : "unknown error";
        }
    }

    /** Launches without boxing: it is called some hundred times in a step. */
    int launch(LaunchConfig config, MemorySegment function, MemorySegment parameters) {
        try {
            return (int) launch.invokeExact(config.segment(), function, parameters, MemorySegment.NULL);
        } catch (Throwable e) {
            throw new IllegalStateException("cuLaunchKernelEx", e);
        }
    }

    int integer(String purpose, String function, Object... rest) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment out = arena.allocate(JAVA_INT);
            call(purpose, function, withFirst(out, rest));
            return out.get(JAVA_INT, 0);
        }
    }

    MemorySegment handle(String purpose, String function, Object... rest) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment out = arena.allocate(ADDRESS);
            call(purpose, function, withFirst(out, rest));
            return out.get(ADDRESS, 0);
        }
    }

    private static Object[] withFirst(MemorySegment first, Object[] rest) {
        Object[] all = new Object[rest.length + 1];
        all[0] = first;
        System.arraycopy(rest, 0, all, 1, rest.length);
        return all;
    }
}
