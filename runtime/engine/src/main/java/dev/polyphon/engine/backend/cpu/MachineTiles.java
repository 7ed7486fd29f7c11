package dev.polyphon.engine.backend.cpu;

import dev.polyphon.engine.backend.cpu.TileCode.Floats;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * The tiles of {@link TileCode}, made once for the process, on a processor that has their instructions. The Vector API does not reach products of
 * integers that are summed in pairs (VPDPWSSD), which are twice as many a cycle as those of floats.
 */
final class MachineTiles {
    private static final int NIBBLES = 1;
    private static final int MINIMA = 2;
    private static final int SIXTEEN = 4;
    private static final int AHEAD = 8;
    // EBX and ECX of leaf 7: AVX512F, AVX512BW; AVX512_VNNI.
    private static final int FOUNDATION_AND_WORDS = 1 << 16 | 1 << 30;
    private static final int NEURAL = 1 << 11;

    private static final class Holder {
        static final Optional<MachineTiles> TILES = usable() ? Optional.of(new MachineTiles()) : Optional.empty();
    }

    /** By kind of element, then by rows. */
    private final MachineCode[][] words = new MachineCode[16][];
    /** By {@link Floats}, twice: the second time for pairs of columns; then by rows. And those that make steps of one. */
    private final MachineCode[][] floats = new MachineCode[2 * Floats.values().length][];
    private final MachineCode[][] columns = new MachineCode[2 * Floats.values().length][];
    /** By {@link Floats}. */
    private final MachineCode[] rowDeltas = new MachineCode[Floats.values().length];

    private MachineTiles() {
        List<byte[]> code = new ArrayList<>();
        for (int kind = 0; kind < words.length; kind++) {
            for (int rows = 1; rows <= TileCode.MOST_WORD_ROWS; rows++) {
                code.add(TileCode.words(rows, (kind & SIXTEEN) != 0 ? 16 : 32, (kind & NIBBLES) != 0, (kind & MINIMA) != 0, (kind & AHEAD) != 0));
            }
        }
        for (boolean pairs : new boolean[] {false, true}) {
            for (Floats type : Floats.values()) {
                for (int rows = 1; rows <= TileCode.MOST_FLOAT_ROWS; rows++) {
                    code.add(TileCode.floats(rows, type, TileCode.FLOAT_STEP, pairs));
                    code.add(TileCode.floats(rows, type, 1, pairs));
                }
            }
        }
        for (Floats type : Floats.values()) {
            code.add(TileCode.rowDeltas(type));
        }
        MachineCode[] functions = MachineCode.of(code.toArray(byte[][]::new));
        int next = 0;
        for (int kind = 0; kind < words.length; kind++) {
            words[kind] = new MachineCode[TileCode.MOST_WORD_ROWS + 1];
            for (int rows = 1; rows <= TileCode.MOST_WORD_ROWS; rows++) {
                words[kind][rows] = functions[next++];
            }
        }
        for (int type = 0; type < floats.length; type++) {
            floats[type] = new MachineCode[TileCode.MOST_FLOAT_ROWS + 1];
            columns[type] = new MachineCode[TileCode.MOST_FLOAT_ROWS + 1];
            for (int rows = 1; rows <= TileCode.MOST_FLOAT_ROWS; rows++) {
                floats[type][rows] = functions[next++];
                columns[type][rows] = functions[next++];
            }
        }
        for (int type = 0; type < rowDeltas.length; type++) {
            rowDeltas[type] = functions[next++];
        }
    }

    /** Empty where the processor or the system is another one. */
    static Optional<MachineTiles> find() {
        return Holder.TILES;
    }

    /** Tiles of words, by rows. */
    MachineCode[] words(int group, boolean nibbles, boolean minima, boolean ahead) {
        return words[(nibbles ? NIBBLES : 0) | (minima ? MINIMA : 0) | (group == 16 ? SIXTEEN : 0) | (ahead ? AHEAD : 0)];
    }

    /** {@code sums[r][j] += x · w} for f32 rows {@code xBytes} apart and elements [length][32]. */
    void multiply(Floats type, long w, long x, long xBytes, int rows, int length, long sums) {
        multiply(type.ordinal(), type.bytes(), 4, w, x, xBytes, rows, length, sums);
    }

    /** The same for elements [length / 2][2][16]: even columns are added up in the first 16 sums of a row, odd ones in the others. */
    void multiplyPairs(Floats type, long w, long x, long xBytes, int rows, int length, long sums) {
        multiply(Floats.values().length + type.ordinal(), type.bytes(), 8, w, x, xBytes, rows, length / 2, sums);
    }

    /**
     * {@code out += B · x} for each of {@code count} {@link RowDelta}s, and some panels of outputs.
     *
     * @param table the first of them
     */
    void addRowDeltas(Floats type, long table, int count, int firstPanel, int panels) {
        rowDeltas[type.ordinal()].call(table, count, firstPanel, panels, 0, 0, 0);
    }

    private void multiply(int kind, int elementBytes, int stepBytes, long w, long x, long xBytes, int rows, int steps, long sums) {
        int whole = steps / TileCode.FLOAT_STEP;
        int rest = steps % TileCode.FLOAT_STEP;
        for (int r = 0; r < rows; ) {
            // Two tiles of much the same height have more sums in flight than a high and a low one.
            int left = rows - r;
            int tile = left <= TileCode.MOST_FLOAT_ROWS ? left : left < 2 * TileCode.MOST_FLOAT_ROWS ? (left + 1) / 2 : TileCode.MOST_FLOAT_ROWS;
            long at = sums + r * 4L * Panels.WIDTH;
            if (whole > 0) {
                floats[kind][tile].call(w, 0, x + r * xBytes, xBytes, at, whole, 0);
            }
            if (rest > 0) {
                int done = whole * TileCode.FLOAT_STEP;
                columns[kind][tile].call(w + (long) done * Panels.WIDTH * elementBytes, 0, x + r * xBytes + (long) stepBytes * done, xBytes, at, rest, 0);
            }
            r += tile;
        }
    }

    private static boolean usable() {
        if (!LibC.AVAILABLE || Lanes.L != 16 || !System.getProperty("os.arch").equals("amd64")) {
            return false;
        }
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment flags = arena.allocate(ValueLayout.JAVA_INT, 2);
            MachineCode.of(cpuid())[0].call(flags.address(), 0, 0, 0, 0, 0, 0);
            int ebx = flags.getAtIndex(ValueLayout.JAVA_INT, 0);
            int ecx = flags.getAtIndex(ValueLayout.JAVA_INT, 1);
            return (ebx & FOUNDATION_AND_WORDS) == FOUNDATION_AND_WORDS && (ecx & NEURAL) != 0;
        } catch (IllegalStateException e) {
            // Code written at run time is not allowed here.
            return false;
        }
    }

    /** Stores EBX and ECX of CPUID's leaf 7 at the first argument. */
    private static byte[] cpuid() {
        Assembler code = new Assembler();
        code.raw(0x53); // push rbx
        code.raw(0xB8, 7, 0, 0, 0, 0x31, 0xC9, 0x0F, 0xA2); // mov eax, 7; xor ecx, ecx; cpuid
        code.raw(0x89, 0x1F, 0x89, 0x4F, 4); // mov [rdi], ebx; mov [rdi + 4], ecx
        code.raw(0x5B, 0xC3); // pop rbx; ret
        return code.code();
    }
}
