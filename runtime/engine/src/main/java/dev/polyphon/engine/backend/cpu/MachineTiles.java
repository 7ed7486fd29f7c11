package dev.polyphon.engine.backend.cpu;

import dev.polyphon.engine.backend.cpu.TileCode.Floats;
import dev.polyphon.engine.backend.cpu.TileCode.Vectors;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import jdk.incubator.vector.FloatVector;

/**
 * The tiles of {@link TileCode}, and the {@link SoftmaxCode}, made once for the process, on a processor that has their instructions. The Vector API does not reach products of
 * integers that are summed in pairs (VPDPWSSD, VPMADDWD), which are up to twice as many a cycle as those of floats, nor does its compiler keep the
 * sums and broadcasts of a tile in registers as well as these do.
 */
final class MachineTiles {
    private static final int NIBBLES = 1;
    private static final int MINIMA = 2;
    private static final int SIXTEEN = 4;
    private static final int AHEAD = 8;
    // ECX of CPUID's leaf 1.
    private static final int FMA_AND_F16C = 1 << 12 | 1 << 29;
    // EBX and ECX of leaf 7, EAX of its second part.
    private static final int AVX2 = 1 << 5;
    private static final int AVX512_F_AND_BW = 1 << 16 | 1 << 30;
    private static final int AVX512_VNNI = 1 << 11;
    private static final int AVX_VNNI = 1 << 4;

    private static final class Holder {
        static final Optional<MachineTiles> TILES =
                supported().stream().filter(vectors -> vectors.lanes() == Lanes.L).findFirst().map(MachineTiles::new);
    }

    private final Vectors vectors;
    /** By kind of element, then by rows. */
    private final MachineCode[][] words = new MachineCode[16][];
    /** By {@link Floats}, twice: the second time for pairs of columns; then by rows. And those that make steps of one. */
    private final MachineCode[][] floats = new MachineCode[2 * Floats.values().length][];
    private final MachineCode[][] columns = new MachineCode[2 * Floats.values().length][];
    /** By {@link Floats}. */
    private final MachineCode[] rowDeltas = new MachineCode[Floats.values().length];
    private final MachineCode softmax;
    private final NativeMemory softmaxConstants;

    private MachineTiles(Vectors vectors) {
        this.vectors = vectors;
        List<byte[]> code = new ArrayList<>();
        for (int kind = 0; kind < words.length; kind++) {
            for (int rows = 1; rows <= vectors.mostWordRows(); rows++) {
                code.add(TileCode.words(vectors, rows, (kind & SIXTEEN) != 0 ? 16 : 32, (kind & NIBBLES) != 0, (kind & MINIMA) != 0, (kind & AHEAD) != 0));
            }
        }
        for (boolean pairs : new boolean[] {false, true}) {
            for (Floats type : Floats.values()) {
                for (int rows = 1; rows <= vectors.mostFloatRows(); rows++) {
                    code.add(TileCode.floats(vectors, rows, type, TileCode.FLOAT_STEP, pairs));
                    code.add(TileCode.floats(vectors, rows, type, 1, pairs));
                }
            }
        }
        for (Floats type : Floats.values()) {
            code.add(TileCode.rowDeltas(vectors, type));
        }
        code.add(SoftmaxCode.write(vectors));
        MachineCode[] functions = MachineCode.of(code.toArray(byte[][]::new));
        int next = 0;
        for (int kind = 0; kind < words.length; kind++) {
            words[kind] = new MachineCode[vectors.mostWordRows() + 1];
            for (int rows = 1; rows <= vectors.mostWordRows(); rows++) {
                words[kind][rows] = functions[next++];
            }
        }
        for (int type = 0; type < floats.length; type++) {
            floats[type] = new MachineCode[vectors.mostFloatRows() + 1];
            columns[type] = new MachineCode[vectors.mostFloatRows() + 1];
            for (int rows = 1; rows <= vectors.mostFloatRows(); rows++) {
                floats[type][rows] = functions[next++];
                columns[type][rows] = functions[next++];
            }
        }
        for (int type = 0; type < rowDeltas.length; type++) {
            rowDeltas[type] = functions[next++];
        }
        softmax = functions[next];
        softmaxConstants = SoftmaxCode.constants(vectors);
    }

    /** Empty where the processor or the system is another one. */
    static Optional<MachineTiles> find() {
        return Holder.TILES;
    }

    /** What they are made of. */
    Vectors vectors() {
        return vectors;
    }

    /** Tiles of words, by rows. */
    MachineCode[] words(int group, boolean nibbles, boolean minima, boolean ahead) {
        return words[(nibbles ? NIBBLES : 0) | (minima ? MINIMA : 0) | (group == 16 ? SIXTEEN : 0) | (ahead ? AHEAD : 0)];
    }

    /** {@code sums[r][j] += x · w} for f32 rows {@code xBytes} apart and elements [length][2 L]. */
    void multiply(Floats type, long w, long x, long xBytes, int rows, int length, long sums) {
        multiply(type.ordinal(), type.bytes(), 4, w, x, xBytes, rows, length, sums);
    }

    /** The same for elements [length / 2][2][L]: even columns are added up in the first L sums of a row, odd ones in the others. */
    void multiplyPairs(Floats type, long w, long x, long xBytes, int rows, int length, long sums) {
        multiply(Floats.values().length + type.ordinal(), type.bytes(), 8, w, x, xBytes, rows, length / 2, sums);
    }

    /**
     * {@code out += B · x} for each of {@code count} {@link RowDelta}s, and some panels of outputs.
     *
     * @param table the first of them
     */
    void addRowDeltas(Floats type, long table, int count, int firstPanel, int panels) {
        rowDeltas[type.ordinal()].call(table, count, firstPanel, panels, 0, 0, 0, 0);
    }

    /** Softmax of {@code factor} times {@code count} vectors of values, in place. */
    void softmax(long values, int count, float factor) {
        softmax.call(values, count, softmaxConstants.address(), Float.floatToRawIntBits(factor), 0, 0, 0, 0);
    }

    private void multiply(int kind, int elementBytes, int stepBytes, long w, long x, long xBytes, int rows, int steps, long sums) {
        int whole = steps / TileCode.FLOAT_STEP;
        int rest = steps % TileCode.FLOAT_STEP;
        int most = vectors.mostFloatRows();
        for (int r = 0; r < rows; ) {
            // Two tiles of much the same height have more sums in flight than a high and a low one.
            int left = rows - r;
            int tile = left <= most ? left : left < 2 * most ? (left + 1) / 2 : most;
            long at = sums + r * 4L * Panels.WIDTH;
            if (whole > 0) {
                floats[kind][tile].call(w, 0, x + r * xBytes, xBytes, at, whole, 0, 0);
            }
            if (rest > 0) {
                int done = whole * TileCode.FLOAT_STEP;
                columns[kind][tile].call(w + (long) done * Panels.WIDTH * elementBytes, 0, x + r * xBytes + (long) stepBytes * done, xBytes, at, rest, 0, 0);
            }
            r += tile;
        }
    }

    /** What this processor has the instructions for, the best of each width first; none where code cannot be written at run time. */
    static List<Vectors> supported() {
        if (!LibC.AVAILABLE || !System.getProperty("os.arch").equals("amd64")) {
            return List.of();
        }
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment flags = arena.allocate(ValueLayout.JAVA_INT, 4);
            MachineCode.of(cpuid())[0].call(flags.address(), 0, 0, 0, 0, 0, 0, 0);
            int[] leaves = flags.toArray(ValueLayout.JAVA_INT);
            List<Vectors> supported = new ArrayList<>();
            // What Java does not use the system may not save.
            int lanes = FloatVector.SPECIES_MAX.length();
            if (lanes >= 16 && has(leaves[1], AVX512_F_AND_BW)) {
                if (has(leaves[2], AVX512_VNNI)) {
                    supported.add(new Vectors(true, true));
                }
                supported.add(new Vectors(true, false));
            }
            if (lanes >= 8 && has(leaves[0], FMA_AND_F16C) && has(leaves[1], AVX2)) {
                if (has(leaves[3], AVX_VNNI)) {
                    supported.add(new Vectors(false, true));
                }
                supported.add(new Vectors(false, false));
            }
            return supported;
        } catch (IllegalStateException e) {
            // Code written at run time is not allowed here.
            return List.of();
        }
    }

    private static boolean has(int flags, int wanted) {
        return (flags & wanted) == wanted;
    }

    /** Stores ECX of CPUID's leaf 1, EBX and ECX of leaf 7, and EAX of that leaf's second part, at the first argument. */
    private static byte[] cpuid() {
        Assembler code = new Assembler(false);
        code.raw(0x53); // push rbx
        code.raw(0xB8, 1, 0, 0, 0, 0x0F, 0xA2); // mov eax, 1; cpuid
        code.raw(0x89, 0x0F); // mov [rdi], ecx
        code.raw(0xB8, 7, 0, 0, 0, 0x31, 0xC9, 0x0F, 0xA2); // mov eax, 7; xor ecx, ecx; cpuid
        code.raw(0x89, 0x5F, 4, 0x89, 0x4F, 8); // mov [rdi + 4], ebx; mov [rdi + 8], ecx
        code.raw(0xB8, 7, 0, 0, 0, 0xB9, 1, 0, 0, 0, 0x0F, 0xA2); // mov eax, 7; mov ecx, 1; cpuid
        code.raw(0x89, 0x47, 12); // mov [rdi + 12], eax
        code.raw(0x5B, 0xC3); // pop rbx; ret
        return code.code();
    }
}
