package dev.polyphon.engine.backend.cuda;

import dev.polyphon.engine.backend.AddressRange;
import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import dev.polyphon.engine.backend.DeviceMemoryException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * One GPU: its context, its memory, a stream that computes and one that copies, pinned host memory for both, and the kernels.
 *
 * <p>Copies to the device may be made on any thread, also while kernels run; they have arrived when they return. Everything else is the step loop's.
 */
@SuppressWarnings("restricted")
final class Device implements AutoCloseable {
    private static final long STAGING = 8L << 20;
    private static final long TABLES = 4L << 20;

    private final Driver driver;
    private final int ordinal;
    private final MemorySegment context;
    private final String name;
    private final String architecture;
    private final List<MemorySegment> modules = new ArrayList<>();
    private final Map<String, MemorySegment> functions = new HashMap<>();
    private final Arena local = Arena.ofShared();
    private final MemorySegment compute;
    private final MemorySegment copies;
    private final MemorySegment uploads;
    private final MemorySegment downloads;
    private final MemorySegment tables;
    private final long deviceTables;
    private long tablesUsed;
    private final AddressRange arena;
    private final Arguments arguments = new Arguments(local);
    private volatile String last = "no kernel yet";
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
        context = driver.handle("device " + ordinal, "cuDevicePrimaryCtxRetain", device);
        enter();
        compute = driver.handle("the stream that computes", "cuStreamCreate", 1);
        copies = driver.handle("the stream that copies", "cuStreamCreate", 1);
        uploads = pinned(STAGING);
        downloads = pinned(STAGING);
        tables = pinned(TABLES);
        Sources.KERNELS.forEach((file, names) -> {
            byte[] code = Sources.compiled(file, compiler, architecture, version, cache);
            MemorySegment image = local.allocate(Math.max(1, code.length), 64);
            MemorySegment.copy(code, 0, image, JAVA_BYTE, 0, code.length);
            MemorySegment module = driver.handle(file + " for " + architecture, "cuModuleLoadData", image);
            modules.add(module);
            for (String kernel : names) {
                functions.put(kernel, driver.handle("kernel " + kernel, "cuModuleGetFunction", module, local.allocateFrom(kernel)));
            }
        });
        long wanted = memory > 0 ? memory : freeMemory() / 10 * 9;
        MemorySegment out = local.allocate(JAVA_LONG);
        int status = driver.status("cuMemAlloc_v2", out, wanted);
        if (status == Driver.OUT_OF_MEMORY) {
            throw new DeviceMemoryException("the engine", wanted, freeMemory());
        } else if (status != 0) {
            throw driver.failure("cuMemAlloc_v2", wanted + " bytes", status);
        }
        arena = new AddressRange(out.get(JAVA_LONG, 0), wanted);
        deviceTables = arena.take(TABLES, "tables");
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

    /** Copies floats from the device once all kernels before have run. */
    void download(long from, float[] values, int at, int count) {
        enter();
        int most = (int) (STAGING / 4);
        for (int done = 0; done < count; done += most) {
            int n = Math.min(most, count - done);
            driver.call(4L * n + " bytes from the device", "cuMemcpyDtoHAsync_v2", downloads, from + 4L * done, 4L * n, compute);
            finish();
            MemorySegment.copy(downloads, java.lang.foreign.ValueLayout.JAVA_FLOAT, 0, values, at + done, n);
        }
    }

    /** Waits for all kernels; one that failed is told of here. */
    void finish() {
        settle();
        tablesUsed = 0;
    }

    /** The same on any thread. */
    void settle() {
        enter();
        int status = driver.status("cuStreamSynchronize", compute);
        if (status != 0) {
            throw driver.failure("cuStreamSynchronize", "kernels up to " + last, status);
        }
    }

    /** Brings a small table of ints to the device, in order with the kernels; it stays there until the next {@link #finish}. */
    long table(int[] values, int count) {
        long at = reserve(4L * count);
        MemorySegment.copy(values, 0, tables, JAVA_INT, at, count);
        return send(at, 4L * count);
    }

    long table(MemorySegment bytes) {
        long at = reserve(bytes.byteSize());
        MemorySegment.copy(bytes, 0, tables, at, bytes.byteSize());
        return send(at, bytes.byteSize());
    }

    /** Makes sure that tables of so many bytes, and 64 for each, are there together. */
    void room(long bytes) {
        if (bytes > TABLES) {
            throw new IllegalArgumentException("tables of " + bytes + " bytes, at most " + TABLES);
        }
        if (tablesUsed + bytes > TABLES) {
            finish();
        }
    }

    private long reserve(long bytes) {
        room(bytes);
        long at = tablesUsed;
        tablesUsed += bytes + 63 & -64;
        return at;
    }

    private long send(long at, long bytes) {
        if (bytes > 0) {
            enter();
            driver.call("a table", "cuMemcpyHtoDAsync_v2", deviceTables + at, tables.asSlice(at, bytes), bytes, compute);
        }
        return deviceTables + at;
    }

    /** The arguments of the next kernel, empty. */
    Arguments arguments() {
        return arguments.clear();
    }

    /** Launches a kernel with the arguments set last. */
    void launch(String kernel, int gridX, int gridY, int threads) {
        enter();
        last = kernel;
        int status = driver.launch(functions.get(kernel), gridX, gridY, threads, compute, arguments.pointer());
        if (status != 0) {
            throw driver.failure("cuLaunchKernel", "kernel " + kernel + " on " + gridX + " x " + gridY + " blocks of " + threads + " threads with "
                    + arguments, status);
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
        modules.forEach(module -> driver.status("cuModuleUnload", module));
        for (MemorySegment memory : List.of(uploads, downloads, tables)) {
            driver.status("cuMemFreeHost", memory);
        }
        driver.status("cuStreamDestroy_v2", compute);
        driver.status("cuStreamDestroy_v2", copies);
        driver.status("cuDevicePrimaryCtxRelease_v2", ordinal);
        local.close();
    }

    /** The one structure that every kernel is given: {@code Args} in common.cuh. */
    static final class Arguments {
        private static final int POINTERS = 8;
        private static final int INTS = 16;
        private static final int FLOATS = 8;

        private final MemorySegment structure;
        private final MemorySegment pointer;
        private int pointers;
        private int ints;
        private int floats;

        private Arguments(Arena arena) {
            structure = arena.allocate(8L * POINTERS + 4L * INTS + 4L * FLOATS, 8);
            pointer = arena.allocate(ADDRESS);
            pointer.set(ADDRESS, 0, structure);
        }

        private Arguments clear() {
            structure.fill((byte) 0);
            pointers = 0;
            ints = 0;
            floats = 0;
            return this;
        }

        private MemorySegment pointer() {
            return pointer;
        }

        Arguments at(long address) {
            structure.setAtIndex(JAVA_LONG, java.util.Objects.checkIndex(pointers++, POINTERS), address);
            return this;
        }

        Arguments with(int value) {
            structure.set(JAVA_INT, 8L * POINTERS + 4L * java.util.Objects.checkIndex(ints++, INTS), value);
            return this;
        }

        Arguments with(float value) {
            structure.set(java.lang.foreign.ValueLayout.JAVA_FLOAT, 8L * POINTERS + 4L * INTS + 4L * java.util.Objects.checkIndex(floats++, FLOATS), value);
            return this;
        }

        @Override
        public String toString() {
            StringBuilder text = new StringBuilder("sizes");
            for (int i = 0; i < ints; i++) {
                text.append(' ').append(structure.get(JAVA_INT, 8L * POINTERS + 4L * i));
            }
            return text.toString();
        }
    }
}
