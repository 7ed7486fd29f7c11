package dev.polyphon.engine.backend.cuda;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import dev.polyphon.engine.backend.AddressRange;
import dev.polyphon.engine.backend.DeviceMemoryException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.Function;

/**
 * One GPU: its context, its memory, a stream that computes and one that copies, pinned host memory for both, and the kernels.
 *
 * <p>Copies may be made on any thread, also while kernels run; they have arrived when they return. Everything else is the step loop's.
 */
@SuppressWarnings("restricted")
final class Device implements AutoCloseable {
    private static final long STAGING = 8L << 20;
    private static final long MOST_TABLES = 64L << 20;

    private final Driver driver;
    private final int ordinal;
    private final MemorySegment context;
    private final String name;
    private final String architecture;
    private final int multiprocessors;
    private final int sharedBytes;
    private final Function<String, byte[]> compiled;
    private final Map<String, MemorySegment> modules = new HashMap<>();
    private final List<String> names = new CopyOnWriteArrayList<>();
    private final Map<String, Integer> numbers = new ConcurrentHashMap<>();
    private final List<MemorySegment> functions = new CopyOnWriteArrayList<>();
    private final Arena local = Arena.ofShared();
    private final MemorySegment compute;
    private final MemorySegment copies;
    private final MemorySegment uploads;
    private final MemorySegment downloads;
    private final MemorySegment pinnedTables;
    private final Tables tables;
    private final AddressRange arena;
    private final Launches launches = new Launches(names);
    private final Graphs graphs;
    private boolean stepping;
    /** Who launches kernels: others' reads do not wait for them. */
    private volatile Thread stepper;
    private boolean closed;

    /**
     * @param memory bytes to take; 0 for nine tenths of what is free
     * @param cache folder of compiled kernels
     */
    Device(Driver driver, Compiler compiler, int ordinal, long memory, Path cache) {
        this.driver = driver;
        this.ordinal = ordinal;
        driver.call("the driver", "cuInit", 0);
        int count = driver.integer("the number of devices", "cuDeviceGetCount");
        if (ordinal >= count) {
            throw new CudaException("there is no device " + ordinal + ", the driver knows " + count);
        }
        int device = driver.integer("device " + ordinal, "cuDeviceGet", ordinal);
        int version = driver.integer("the driver's version", "cuDriverGetVersion");
        name = name(device);
        int major = driver.integer("the architecture", "cuDeviceGetAttribute", Driver.MAJOR, device);
        architecture = "sm_" + major + driver.integer("the architecture", "cuDeviceGetAttribute", Driver.MINOR, device) + (major >= 9 ? "a" : "");
        multiprocessors = driver.integer("the multiprocessors", "cuDeviceGetAttribute", Driver.MULTIPROCESSORS, device);
        sharedBytes = driver.integer("the shared memory", "cuDeviceGetAttribute", Driver.SHARED_BYTES_OF_A_BLOCK, device);
        context = driver.handle("device " + ordinal, "cuDevicePrimaryCtxRetain", device);
        enter();
        compute = driver.handle("the stream that computes", "cuStreamCreate", 1);
        copies = driver.handle("the stream that copies", "cuStreamCreate", 1);
        uploads = pinned(STAGING);
        downloads = pinned(STAGING);
        graphs = new Graphs(driver, compute, major >= 9);
        compiled = file -> Sources.compiled(file, compiler, architecture, version, cache);
        Sources.KERNELS.keySet().forEach(this::load);
        long wanted = memory > 0 ? memory : freeMemory() / 10 * 9;
        MemorySegment out = local.allocate(JAVA_LONG);
        int status = driver.status("cuMemAlloc_v2", out, wanted);
        if (status == Driver.OUT_OF_MEMORY) {
            throw new DeviceMemoryException("the engine", wanted, freeMemory());
        } else if (status != 0) {
            throw driver.failure("cuMemAlloc_v2", wanted + " bytes", status);
        }
        arena = new AddressRange(out.get(JAVA_LONG, 0), wanted);
        long bytes = Math.min(MOST_TABLES, wanted / 16);
        pinnedTables = pinned(bytes);
        tables = new Tables(pinnedTables, arena.take(bytes, "tables"));
    }

    /** Makes a file's kernels ready, if they are not. Any thread. */
    void load(String file) {
        synchronized (modules) {
            if (modules.containsKey(file)) {
                return;
            }
            enter();
            byte[] code = compiled.apply(file);
            MemorySegment image = local.allocate(Math.max(1, code.length), 64);
            MemorySegment.copy(code, 0, image, JAVA_BYTE, 0, code.length);
            MemorySegment module = driver.handle(file + " for " + architecture, "cuModuleLoadData", image);
            for (String kernel : Sources.ALL.get(file)) {
                MemorySegment function = driver.handle("kernel " + kernel, "cuModuleGetFunction", module, local.allocateFrom(kernel));
                if (Sources.shared(kernel) > 0 && Sources.shared(kernel) <= sharedBytes) {
                    driver.call("kernel " + kernel, "cuFuncSetAttribute", function, Driver.SHARED_BYTES_OF_A_FUNCTION, Sources.shared(kernel));
                }
                functions.add(function);
                names.add(kernel);
                numbers.put(kernel, names.size() - 1);
            }
            modules.put(file, module);
        }
    }

    private String name(int device) {
        MemorySegment text = local.allocate(256);
        driver.call("device " + ordinal, "cuDeviceGetName", text, 256, device);
        return text.getString(0);
    }

    private long freeMemory() {
        MemorySegment sizes = local.allocate(JAVA_LONG, 2);
        driver.call("the memory", "cuMemGetInfo_v2", sizes, sizes.asSlice(8));
        return sizes.get(JAVA_LONG, 0);
    }

    private MemorySegment pinned(long bytes) {
        return driver.handle(bytes + " bytes of pinned memory", "cuMemHostAlloc", bytes, 0).reinterpret(bytes);
    }

    String describe() {
        return name + " (" + architecture + "), " + arena.free() / (1 << 20) + " MiB free";
    }

    int multiprocessors() {
        return multiprocessors;
    }

    /** Bytes of shared memory that a block may have, when it asks. */
    int sharedBytes() {
        return sharedBytes;
    }

    AddressRange arena() {
        return arena;
    }

    /** Makes the device the calling thread's. */
    private void enter() {
        driver.call("this thread", "cuCtxSetCurrent", context);
    }

    /** Copies to the device, by way of pinned memory, on the stream that copies. Any thread. */
    void upload(MemorySegment from, long to) {
        synchronized (uploads) {
            enter();
            for (long at = 0; at < from.byteSize(); at += STAGING) {
                long n = Math.min(STAGING, from.byteSize() - at);
                MemorySegment.copy(from, at, uploads, 0, n);
                driver.call(n + " bytes to the device", "cuMemcpyHtoDAsync_v2", to + at, uploads, n, copies);
                driver.call("a copy to the device", "cuStreamSynchronize", copies);
            }
        }
    }

    /** Zeroes device memory. Any thread. */
    void clear(long address, long bytes) {
        enter();
        driver.call(bytes + " bytes", "cuMemsetD8Async", address, (byte) 0, bytes, copies);
        driver.call("memory to be zeroed", "cuStreamSynchronize", copies);
    }

    /** Copies from the device: for the thread that launches kernels once they have run; for others at once. */
    void download(long from, MemorySegment to) {
        if (Thread.currentThread() == stepper) {
            run();
        }
        MemorySegment stream = Thread.currentThread() == stepper ? compute : copies;
        synchronized (downloads) {
            enter();
            for (long at = 0; at < to.byteSize(); at += STAGING) {
                long n = Math.min(STAGING, to.byteSize() - at);
                driver.call(n + " bytes from the device", "cuMemcpyDtoHAsync_v2", downloads, from + at, n, stream);
                driver.call(stream == compute ? "kernels up to " + graphs.last() : "a copy from the device", "cuStreamSynchronize", stream);
                MemorySegment.copy(downloads, 0, to, at, n);
            }
        }
        if (stream == compute) {
            tables.restart();
        }
    }

    /** Begins a step: its kernels run when results are read, or at its end. */
    void begin() {
        stepper = Thread.currentThread();
        launches.clear();
        tables.begin();
        stepping = true;
    }

    void end() {
        stepping = false;
        finish();
    }

    /** Starts what was launched. */
    private void run() {
        if (launches.count() > 0) {
            enter();
            tables.send((at, bytes) -> driver.call("tables", "cuMemcpyHtoDAsync_v2", tables.address(at), pinnedTables.asSlice(at, bytes), bytes, compute));
            try {
                graphs.run(launches);
            } finally {
                launches.clear();
            }
        }
    }

    /** Waits for all kernels of this thread; one that failed is told of here. */
    void finish() {
        if (Thread.currentThread() == stepper) {
            run();
            driver.call("kernels up to " + graphs.last(), "cuStreamSynchronize", compute);
            if (stepping) {
                tables.restart();
            } else {
                tables.begin();
            }
        }
    }

    Tables tables() {
        return tables;
    }

    int graphs() {
        return graphs.graphs();
    }

    /** The arguments of the next kernel, empty. */
    Launches arguments() {
        return launches.next();
    }

    /** Launches a kernel with the arguments set last; outside a step it has run when this returns. */
    void launch(String kernel, int gridX, int gridY, int threads) {
        int number = numbers.get(kernel);
        launches.add(number, functions.get(number), gridX, gridY, threads, Sources.shared(kernel));
        if (!stepping) {
            stepper = Thread.currentThread();
            finish();
        }
    }

    @Override
    public void close() {
        if (closed) {
            return;
        }
        closed = true;
        enter();
        driver.status("cuStreamSynchronize", compute);
        driver.status("cuMemFree_v2", arena.start());
        modules.values().forEach(module -> driver.status("cuModuleUnload", module));
        graphs.close();
        launches.close();
        for (MemorySegment memory : List.of(uploads, downloads, pinnedTables)) {
            driver.status("cuMemFreeHost", memory);
        }
        driver.status("cuStreamDestroy_v2", compute);
        driver.status("cuStreamDestroy_v2", copies);
        driver.status("cuDevicePrimaryCtxRelease_v2", ordinal);
        local.close();
    }
}
