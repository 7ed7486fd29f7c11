package dev.polyphon.engine.backend.cpu;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;

/** The few calls for memory that Linux offers and Java does not. */
final class LibC {
    /** Whether this is a system whose constants are those below. */
    static final boolean AVAILABLE = System.getProperty("os.name").equals("Linux");

    private static final int READ_WRITE = 1 | 2;
    private static final int READ_EXECUTE = 1 | 4;
    private static final int PRIVATE_ANONYMOUS = 2 | 0x20;
    private static final int ADVICE_HUGE_PAGE = 14;
    private static final MethodHandle MMAP = handle("mmap", FunctionDescriptor.of(ADDRESS, ADDRESS, JAVA_LONG, JAVA_INT, JAVA_INT, JAVA_INT, JAVA_LONG));
    private static final MethodHandle MUNMAP = handle("munmap", FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_LONG));
    private static final MethodHandle MPROTECT = handle("mprotect", FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_LONG, JAVA_INT));
    private static final MethodHandle MADVISE = handle("madvise", FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_LONG, JAVA_INT));

    private LibC() {}

    private static MethodHandle handle(String name, FunctionDescriptor type) {
        Linker linker = Linker.nativeLinker();
        return linker.downcallHandle(linker.defaultLookup().findOrThrow(name), type);
    }

    /** Zeroed memory in whole pages; they take up room when first touched. */
    static MemorySegment map(long bytes) {
        try {
            MemorySegment memory = (MemorySegment) MMAP.invokeExact(MemorySegment.NULL, bytes, READ_WRITE, PRIVATE_ANONYMOUS, -1, 0L);
            if (memory.address() == -1) {
                throw new OutOfMemoryError("the system has no " + bytes + " bytes of memory to map");
            }
            return memory.reinterpret(bytes);
        } catch (RuntimeException | Error e) {
            throw e;
        } catch (Throwable t) {
            throw new IllegalStateException(t);
        }
    }

    static void unmap(MemorySegment memory) {
        call(MUNMAP, memory);
    }

    private static void call(MethodHandle function, MemorySegment memory) {
        try {
            int ignored = (int) function.invokeExact(memory, memory.byteSize());
        } catch (Throwable t) {
            throw new IllegalStateException(t);
        }
    }

    /** Makes memory executable and no longer writable. @throws IllegalStateException when the system does not allow it */
    static void makeExecutable(MemorySegment memory) {
        try {
            if ((int) MPROTECT.invokeExact(memory, memory.byteSize(), READ_EXECUTE) != 0) {
                throw new IllegalStateException("the system does not allow code written at run time");
            }
        } catch (RuntimeException | Error e) {
            throw e;
        } catch (Throwable t) {
            throw new IllegalStateException(t);
        }
    }

    /** Asks for pages of 2 MiB, if the system has them to give: a scan then misses the address cache 512 times less often. */
    static void adviseHugePages(MemorySegment memory) {
        try {
            int ignored = (int) MADVISE.invokeExact(memory, memory.byteSize(), ADVICE_HUGE_PAGE);
        } catch (Throwable t) {
            throw new IllegalStateException(t);
        }
    }
}
