package dev.polyphon.engine.backend.cpu;

import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;

/** Code written at run time, called like a C function of eight integers. */
final class MachineCode {
    private static final MethodHandle CALL = Linker.nativeLinker().downcallHandle(
            FunctionDescriptor.ofVoid(ValueLayout.JAVA_LONG, ValueLayout.JAVA_LONG, ValueLayout.JAVA_LONG, ValueLayout.JAVA_LONG, ValueLayout.JAVA_LONG,
                    ValueLayout.JAVA_LONG, ValueLayout.JAVA_LONG, ValueLayout.JAVA_LONG),
            Linker.Option.critical(false));

    private final MemorySegment entry;

    private MachineCode(MemorySegment entry) {
        this.entry = entry;
    }

    /** Puts code into memory that is first writable, then executable, never both; it stays for the life of the process. */
    static MachineCode[] of(byte[]... functions) {
        long total = 0;
        for (byte[] f : functions) {
            total += f.length + 63 & -64;
        }
        MemorySegment memory = LibC.map(total);
        MachineCode[] codes = new MachineCode[functions.length];
        long at = 0;
        for (int i = 0; i < functions.length; i++) {
            MemorySegment.copy(functions[i], 0, memory, ValueLayout.JAVA_BYTE, at, functions[i].length);
            codes[i] = new MachineCode(memory.asSlice(at));
            at += functions[i].length + 63 & -64;
        }
        LibC.makeExecutable(memory);
        return codes;
    }

    /** Runs it. It must not take long: the collector waits for it. */
    void call(long a, long b, long c, long d, long e, long f, long g, long h) {
        try {
            CALL.invokeExact(entry, a, b, c, d, e, f, g, h);
        } catch (Throwable t) {
            throw new IllegalStateException(t);
        }
    }
}
