package dev.polyphon.engine.backend.cpu;

import java.io.ByteArrayOutputStream;

/**
 * Writes x86-64 machine code: the few vector instructions that the kernels need, on whole registers, encoded as in Intel's Software Developer's
 * Manual, volume 2. They are AVX-512's on 512 bits or AVX2's on 256, whose operation codes are the same. Vector registers are numbers from 0 to 31,
 * with 256 bits to 15.
 */
final class Assembler {

    /**
     * General registers. The System V ABI passes the first six integers in RDI, RSI, RDX, RCX, R8 and R9, the others above the return address on the
     * stack. A function may change all but RBX, RBP and RSP, which it must restore.
     */
    enum Register {
        RAX(0),
        RCX(1),
        RDX(2),
        RBX(3),
        RSP(4),
        RBP(5),
        RSI(6),
        RDI(7),
        R8(8),
        R9(9),
        R10(10),
        R11(11);

        private final int number;

        Register(int number) {
            this.number = number;
        }

        /** Memory that many bytes after the address in this register. */
        Memory at(int displacement) {
            return new Memory(this, null, 1, displacement);
        }

        /** Memory {@code index * scale} and that many bytes after the address in this register. */
        Memory at(Register index, int scale, int displacement) {
            return new Memory(this, index, scale, displacement);
        }
    }

    /** An operand in memory. The scale is 1, 2, 4 or 8; no index is null. */
    record Memory(Register base, Register index, int scale, int displacement) {

        Memory plus(int bytes) {
            return new Memory(base, index, scale, displacement + bytes);
        }

        private int indexBit3() {
            return index == null ? 0 : index.number >> 3;
        }
    }

    // How an instruction's opcode is found: its map, and the prefix it had before EVEX.
    private static final int MAP_0F = 1;
    private static final int MAP_0F38 = 2;
    private static final int MAP_0F3A = 3;
    private static final int NO_PREFIX = 0;
    private static final int PREFIX_66 = 1;

    // What a memory operand is, in bytes of a register of 512 bits; the unit of its displacement when that takes one byte is its size.
    private static final int WHOLE = 64;
    private static final int HALF = 32;
    private static final int ONE = 4;

    private final ByteArrayOutputStream code = new ByteArrayOutputStream();
    private final boolean wide;

    /** @param wide 512 bits, not 256 */
    Assembler(boolean wide) {
        this.wide = wide;
    }

    byte[] code() {
        return code.toByteArray();
    }

    /** The place of the next instruction, to jump back to. */
    int here() {
        return code.size();
    }

    // ---- vectors

    void load(int to, Memory from) {
        vector(MAP_0F, NO_PREFIX, 0x10, to, 0, from, WHOLE);
    }

    void store(int from, Memory to) {
        vector(MAP_0F, NO_PREFIX, 0x11, from, 0, to, WHOLE);
    }

    /** VPMOVSXBW: 32 signed bytes as words. */
    void loadBytesAsWords(int to, Memory from) {
        vector(MAP_0F38, PREFIX_66, 0x20, to, 0, from, HALF);
    }

    /** VPMOVZXBW: 32 unsigned bytes as words. */
    void loadUnsignedBytesAsWords(int to, Memory from) {
        vector(MAP_0F38, PREFIX_66, 0x30, to, 0, from, HALF);
    }

    /** VPMOVZXWD: 16 words as ints, zeros above. */
    void loadWordsAsInts(int to, Memory from) {
        vector(MAP_0F38, PREFIX_66, 0x33, to, 0, from, HALF);
    }

    /** VCVTPH2PS: 16 half floats as floats. */
    void loadHalvesAsFloats(int to, Memory from) {
        vector(MAP_0F38, PREFIX_66, 0x13, to, 0, from, HALF);
    }

    void zero(int register) {
        vector(MAP_0F, PREFIX_66, 0xEF, register, register, register);
    }

    /** VPTERNLOGD with the function that is always true; VPCMPEQD. */
    void ones(int register) {
        if (wide) {
            vector(MAP_0F3A, PREFIX_66, 0x25, register, register, register);
            code.write(0xFF);
        } else {
            vector(MAP_0F, PREFIX_66, 0x76, register, register, register);
        }
    }

    void and(int to, int a, int b) {
        vector(MAP_0F, PREFIX_66, 0xDB, to, a, b);
    }

    /** VPSRLW: words, zeros shifted in. */
    void shiftWordsRight(int to, int from, int bits) {
        vector(MAP_0F, PREFIX_66, 0x71, 2, to, from);
        code.write(bits);
    }

    /** VPSLLW: words, zeros shifted in. */
    void shiftWordsLeft(int to, int from, int bits) {
        vector(MAP_0F, PREFIX_66, 0x71, 6, to, from);
        code.write(bits);
    }

    /** VPSLLD: ints, zeros shifted in. */
    void shiftIntsLeft(int to, int from, int bits) {
        vector(MAP_0F, PREFIX_66, 0x72, 6, to, from);
        code.write(bits);
    }

    /** VPDPWSSD: adds to each int of {@code sum} the products of the two signed words of an int of {@code a} with those of {@code b}. */
    void addWordProducts(int sum, int a, int b) {
        vector(MAP_0F38, PREFIX_66, 0x52, sum, a, b);
    }

    /** VPMADDWD: the sums of the products of two signed words of each int. */
    void wordProducts(int to, int a, int b) {
        vector(MAP_0F, PREFIX_66, 0xF5, to, a, b);
    }

    /** VPADDD. */
    void addInts(int to, int a, int b) {
        vector(MAP_0F, PREFIX_66, 0xFE, to, a, b);
    }

    /** VBROADCASTSS: the one float, or int, in all lanes. */
    void broadcast(int to, Memory one) {
        vector(MAP_0F38, PREFIX_66, 0x18, to, 0, one, ONE);
    }

    void intsToFloats(int to, int from) {
        vector(MAP_0F, NO_PREFIX, 0x5B, to, 0, from);
    }

    /** VMOVAPS. */
    void move(int to, int from) {
        vector(MAP_0F, NO_PREFIX, 0x28, to, 0, from);
    }

    /** VADDPS. */
    void add(int to, int a, int b) {
        vector(MAP_0F, NO_PREFIX, 0x58, to, a, b);
    }

    /** VSUBPS. */
    void subtract(int to, int a, int b) {
        vector(MAP_0F, NO_PREFIX, 0x5C, to, a, b);
    }

    /** VDIVPS. */
    void divide(int to, int a, int b) {
        vector(MAP_0F, NO_PREFIX, 0x5E, to, a, b);
    }

    /** VMAXPS; {@code b} where one of them is no number. */
    void max(int to, int a, int b) {
        vector(MAP_0F, NO_PREFIX, 0x5F, to, a, b);
    }

    /** VMINPS; {@code b} where one of them is no number. */
    void min(int to, int a, int b) {
        vector(MAP_0F, NO_PREFIX, 0x5D, to, a, b);
    }

    /** VSHUFF32X4, VPERM2F128 and VPERMILPS: each lane from the one whose number differs by {@code distance}, 8, 4, 2 or 1. */
    void exchange(int to, int from, int distance) {
        if (distance < 4) {
            vector(MAP_0F3A, PREFIX_66, 0x04, to, 0, from);
            code.write(distance == 2 ? 0x4E : 0xB1);
        } else if (wide) {
            vector(MAP_0F3A, PREFIX_66, 0x23, to, from, from);
            code.write(distance == 8 ? 0x4E : 0xB1);
        } else {
            vector(MAP_0F3A, PREFIX_66, 0x06, to, from, from);
            code.write(1);
        }
    }

    /** VMULPS. */
    void multiply(int to, int a, int b) {
        vector(MAP_0F, NO_PREFIX, 0x59, to, a, b);
    }

    /** VFMADD213PS: {@code factor = factor * a + b}. */
    void multiplyAdd(int factor, int a, Memory b) {
        vector(MAP_0F38, PREFIX_66, 0xA8, factor, a, b, WHOLE);
    }

    /** VFMADD231PS: {@code sum += a * b}. */
    void addProduct(int sum, int a, int b) {
        vector(MAP_0F38, PREFIX_66, 0xB8, sum, a, b);
    }

    /** VFMADD231PS with a whole vector of memory. */
    void addProducts(int sum, int a, Memory b) {
        vector(MAP_0F38, PREFIX_66, 0xB8, sum, a, b, WHOLE);
    }

    /** Register, register, register. */
    private void vector(int map, int prefix, int opcode, int reg, int second, int rm) {
        if (wide) {
            evex(map, prefix, opcode, reg, second, rm >> 3 & 1, rm >> 4 & 1);
        } else {
            vex(map, prefix, opcode, reg, second, rm >> 3 & 1, 0);
        }
        code.write(0xC0 | (reg & 7) << 3 | rm & 7);
    }

    /** Register, register, memory. */
    private void vector(int map, int prefix, int opcode, int reg, int second, Memory rm, int size) {
        if (wide) {
            evex(map, prefix, opcode, reg, second, rm.base.number >> 3, rm.indexBit3());
            address(reg, rm, size);
        } else {
            vex(map, prefix, opcode, reg, second, rm.base.number >> 3, rm.indexBit3());
            address(reg, rm, 1);
        }
    }

    /** The EVEX prefix and the opcode; bits that extend a register's number are stored inverted. X extends a vector's number or an index. */
    private void evex(int map, int prefix, int opcode, int reg, int second, int b, int x) {
        code.write(0x62);
        code.write((~reg >> 3 & 1) << 7 | (~x & 1) << 6 | (~b & 1) << 5 | (~reg >> 4 & 1) << 4 | map);
        code.write((~second & 15) << 3 | 4 | prefix);
        code.write(2 << 5 | (~second >> 4 & 1) << 3);
        code.write(opcode);
    }

    /** The three bytes of the VEX prefix, with 256 bits, and the opcode. */
    private void vex(int map, int prefix, int opcode, int reg, int second, int b, int x) {
        if ((reg | second) > 15) {
            throw new IllegalStateException("256 bits have 16 registers, not " + Math.max(reg, second));
        }
        code.write(0xC4);
        code.write((~reg >> 3 & 1) << 7 | (~x & 1) << 6 | (~b & 1) << 5 | map);
        code.write((~second & 15) << 3 | 4 | prefix);
        code.write(opcode);
    }

    /** ModRM, SIB and displacement, which takes one byte when it is that many units. */
    private void address(int reg, Memory memory, int unit) {
        int displacement = memory.displacement;
        boolean small = displacement % unit == 0 && (byte) (displacement / unit) == displacement / unit;
        boolean indexed = memory.index != null || memory.base == Register.RSP;
        code.write((small ? 0x40 : 0x80) | (reg & 7) << 3 | (indexed ? 4 : memory.base.number & 7));
        if (memory.base == Register.RSP) {
            code.write(0x24); // No index: RSP's number stands for that.
        } else if (indexed) {
            code.write(Integer.numberOfTrailingZeros(memory.scale) << 6 | (memory.index.number & 7) << 3 | memory.base.number & 7);
        }
        if (small) {
            code.write(displacement / unit);
        } else {
            writeInt(displacement);
        }
    }

    // ---- the rest

    /** PREFETCHT0: asks for the cache line, if there is one. */
    void prefetch(Memory line) {
        prefetch(1, line);
    }

    /** PREFETCHT1: asks for it in the second cache. */
    void prefetchFar(Memory line) {
        prefetch(2, line);
    }

    private void prefetch(int hint, Memory line) {
        code.write(0x40 | line.indexBit3() << 1 | line.base.number >> 3);
        code.write(0x0F);
        code.write(0x18);
        address(hint, line, 1);
    }

    /** One of the registers below R8. */
    void push(Register from) {
        code.write(0x50 | from.number);
    }

    void pop(Register to) {
        code.write(0x58 | to.number);
    }

    void load(Register to, Memory from) {
        withMemory(to, 0x8B, from);
    }

    void add(Register to, Memory from) {
        withMemory(to, 0x03, from);
    }

    private void withMemory(Register to, int opcode, Memory from) {
        code.write(0x48 | to.number >> 3 << 2 | from.indexBit3() << 1 | from.base.number >> 3);
        code.write(opcode);
        address(to.number, from, 1);
    }

    /** IMUL. */
    void multiply(Register to, Register by) {
        code.write(0x48 | to.number >> 3 << 2 | by.number >> 3);
        code.write(0x0F);
        code.write(0xAF);
        code.write(0xC0 | (to.number & 7) << 3 | by.number & 7);
    }

    /** IMUL with a constant. */
    void multiply(Register to, Register from, int by) {
        code.write(0x48 | to.number >> 3 << 2 | from.number >> 3);
        code.write(0x69);
        code.write(0xC0 | (to.number & 7) << 3 | from.number & 7);
        writeInt(by);
    }

    void add(Register to, int value) {
        code.write(0x48 | to.number >> 3);
        code.write(0x81);
        code.write(0xC0 | to.number & 7);
        writeInt(value);
    }

    /** LEA: the address itself. */
    void address(Register to, Memory of) {
        withMemory(to, 0x8D, of);
    }

    /** Takes one from the register and jumps back to {@code place} unless it is zero then. */
    void loop(Register counter, int place) {
        code.write(0x48 | counter.number >> 3);
        code.write(0xFF);
        code.write(0xC8 | counter.number & 7);
        code.write(0x0F);
        code.write(0x85);
        writeInt(place - (code.size() + 4));
    }

    /** Bytes as they are, for instructions that are needed once. */
    void raw(int... bytes) {
        for (int b : bytes) {
            code.write(b);
        }
    }

    /** VZEROUPPER, so that what follows may use 128-bit instructions at full speed, and RET. */
    void end() {
        raw(0xC5, 0xF8, 0x77, 0xC3);
    }

    private void writeInt(int value) {
        for (int i = 0; i < 4; i++) {
            code.write(value >> 8 * i);
        }
    }
}
