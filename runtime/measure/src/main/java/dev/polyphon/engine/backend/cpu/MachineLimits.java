package dev.polyphon.engine.backend.cpu;

import dev.polyphon.engine.backend.cpu.Assembler.Register;
import dev.polyphon.engine.backend.cpu.TileCode.Vectors;
import java.util.Optional;
import java.util.function.ObjIntConsumer;
import jdk.incubator.vector.FloatVector;

/**
 * What the machine can do at most: loops of one instruction, without anything that a real kernel needs besides. In the package of the CPU kernels,
 * because they alone reach the instructions that are to be measured.
 */
public final class MachineLimits implements AutoCloseable {
    /** Multiply-adds of one call of {@link #floats}, by either way. */
    public static final long FLOAT_PRODUCTS = 24L * 16 * 1000;
    /** Multiply-adds of one call of {@link #words}. */
    public static final long WORD_PRODUCTS = 2 * FLOAT_PRODUCTS;

    private static final int SUMS = 12;
    private static final int LINES = 16;
    private static final long LINE = 64;
    private static final int AHEAD = 4096;

    private static final Optional<MachineCode[]> CODE =
            MachineTiles.find().map(tiles -> MachineCode.of(reading(tiles.vectors()), floats(tiles.vectors()), words(tiles.vectors())));

    private final NativeMemory memory;
    private final long bytes;

    /** @param bytes of memory that is read; a multiple of 1 MiB */
    public MachineLimits(long bytes) {
        this.bytes = bytes;
        memory = NativeMemory.large(bytes);
        // Untouched, it would be one page of zeros again and again.
        for (long at = 0; at < bytes; at += LINE) {
            Lanes.set(memory.address() + at, 1);
        }
    }

    /** Whether this processor has what {@link #words} measures, and the kernels use it. */
    public static boolean machineCode() {
        return CODE.isPresent();
    }

    /** Reads all the memory once by the Vector API. */
    public float read() {
        FloatVector a = Lanes.zero();
        FloatVector b = a;
        FloatVector c = a;
        FloatVector d = a;
        long vector = 4L * Lanes.L;
        for (long at = memory.address(); at < memory.address() + bytes; at += 4 * vector) {
            a = a.add(Lanes.load(at));
            b = b.add(Lanes.load(at + vector));
            c = c.add(Lanes.load(at + 2 * vector));
            d = d.add(Lanes.load(at + 3 * vector));
        }
        return a.add(b).add(c.add(d)).lane(0);
    }

    /** Reads all the memory once by machine code that asks for what comes next. */
    public void readByCode() {
        long piece = 1 << 20;
        for (long at = 0; at < bytes; at += piece) {
            CODE.orElseThrow()[0].call(memory.address() + at, piece / (LINES * LINE), 0, 0, 0, 0, 0, 0);
        }
    }

    /** {@link #FLOAT_PRODUCTS} fused multiply-adds of registers by the Vector API. */
    public float floats() {
        FloatVector x = Lanes.all(0.5f);
        FloatVector y = Lanes.all(0.25f);
        FloatVector a = x;
        FloatVector b = x;
        FloatVector c = x;
        FloatVector d = x;
        FloatVector e = x;
        FloatVector f = x;
        FloatVector g = x;
        FloatVector h = x;
        FloatVector i = x;
        FloatVector j = x;
        FloatVector k = x;
        FloatVector l = x;
        for (long n = FLOAT_PRODUCTS / (12L * Lanes.L); n > 0; n--) {
            a = x.fma(y, a);
            b = x.fma(y, b);
            c = x.fma(y, c);
            d = x.fma(y, d);
            e = x.fma(y, e);
            f = x.fma(y, f);
            g = x.fma(y, g);
            h = x.fma(y, h);
            i = x.fma(y, i);
            j = x.fma(y, j);
            k = x.fma(y, k);
            l = x.fma(y, l);
        }
        return a.add(b).add(c).add(d).add(e.add(f).add(g).add(h)).add(i.add(j).add(k).add(l)).lane(0);
    }

    /** {@link #FLOAT_PRODUCTS} fused multiply-adds of registers by machine code. */
    public void floatsByCode() {
        CODE.orElseThrow()[1].call(memory.address(), FLOAT_PRODUCTS / (SUMS * Lanes.L), 0, 0, 0, 0, 0, 0);
    }

    /** {@link #WORD_PRODUCTS} multiply-adds of 16-bit integers in registers (VPDPWSSD, or VPMADDWD and VPADDD). */
    public void words() {
        CODE.orElseThrow()[2].call(memory.address(), WORD_PRODUCTS / (SUMS * 2 * Lanes.L), 0, 0, 0, 0, 0, 0);
    }

    private static byte[] reading(Vectors vectors) {
        Assembler code = new Assembler(vectors.wide());
        int start = code.here();
        for (int i = 0; i < LINES; i++) {
            code.prefetch(Register.RDI.at(AHEAD + 64 * i));
            for (int at = 0; at < LINE; at += 4 * vectors.lanes()) {
                code.load(i, Register.RDI.at(64 * i + at));
            }
        }
        code.add(Register.RDI, 64 * LINES);
        code.loop(Register.RSI, start);
        code.end();
        return code.code();
    }

    private static byte[] floats(Vectors vectors) {
        return products(vectors, (code, sum) -> code.addProduct(sum, SUMS, SUMS + 1));
    }

    private static byte[] words(Vectors vectors) {
        return products(vectors, (code, sum) -> {
            if (vectors.neural()) {
                code.addWordProducts(sum, SUMS, SUMS + 1);
            } else {
                code.wordProducts(SUMS + 2, SUMS, SUMS + 1);
                code.addInts(sum, sum, SUMS + 2);
            }
        });
    }

    private static byte[] products(Vectors vectors, ObjIntConsumer<Assembler> product) {
        Assembler code = new Assembler(vectors.wide());
        for (int i = 0; i < SUMS + 2; i++) {
            code.zero(i);
        }
        int start = code.here();
        for (int i = 0; i < SUMS; i++) {
            product.accept(code, i);
        }
        code.loop(Register.RSI, start);
        code.end();
        return code.code();
    }

    @Override
    public void close() {
        memory.close();
    }
}
