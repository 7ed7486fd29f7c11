package dev.polyphon.engine.backend.cpu;

import dev.polyphon.engine.backend.cpu.TileCode.Floats;
import dev.polyphon.engine.weights.DType;
import jdk.incubator.vector.FloatVector;

/**
 * Panels of floats: [in][WIDTH] in f32, f16 or bf16. The last one is [in][WIDTH / 2] where that is enough, so that an adapter's A of rank 16 has no
 * padding.
 */
final class PlainPanels extends Panels {
    private static final int WIDTH = Panels.WIDTH;
    private static final int HALF = WIDTH / 2;
    private static final long ROW = 4L * WIDTH;

    private final DType type;
    private final Floats floats;
    private final MachineTiles code;
    private final boolean narrowLast;

    /**
     * @param type F64 is kept as f32
     * @param code what multiplies it; null for the Vector API
     */
    PlainPanels(DType type, int out, int in, MachineTiles code) {
        Floats floats = switch (type) {
            case F16 -> Floats.F16;
            case BF16 -> Floats.BF16;
            default -> Floats.F32;
        };
        int last = out % WIDTH;
        // Pairs of columns are multiplied together there.
        boolean narrowLast = last > 0 && last <= HALF && in % 2 == 0;
        long bytes = (long) floats.bytes() * in * WIDTH;
        super(out, in, bytes, narrowLast ? bytes / 2 : bytes);
        this.type = type;
        this.floats = floats;
        this.code = code;
        this.narrowLast = narrowLast;
    }

    /** Of what the elements are. */
    Floats floats() {
        return floats;
    }

    /** What multiplies whole panels of it; null for the Vector API. */
    MachineTiles code() {
        return code;
    }

    private boolean narrow(long panel) {
        return narrowLast && panel == at(count() - 1);
    }

    @Override
    void put(long panel, int i, long source) {
        int width = narrow(panel) ? HALF : WIDTH;
        for (int k = 0; k < in(); k++) {
            long place = panel + ((long) k * width + i) * floats.bytes();
            switch (type) {
                case F64 -> Lanes.set(place, (float) Lanes.getDouble(source + 8L * k));
                case F32 -> Lanes.set(place, Lanes.get(source + 4L * k));
                default -> Lanes.setShort(place, Lanes.getShort(source + 2L * k));
            }
        }
    }

    @Override
    void multiply(int panel, long x, long xBytes, int rows, long sums, Scratch scratch) {
        if (code == null) {
            super.multiply(panel, x, xBytes, rows, sums, scratch);
        } else if (narrow(at(panel))) {
            for (int r = 0; r < rows; r++) {
                Lanes.store(Lanes.zero(), sums + r * ROW + ROW / 2);
            }
            code.multiplyPairs(floats, at(panel), x, xBytes, rows, in(), sums);
            for (int r = 0; r < rows; r++) {
                long row = sums + r * ROW;
                Lanes.store(Lanes.load(row).add(Lanes.load(row + ROW / 2)), row);
            }
        } else {
            code.multiply(floats, at(panel), x, xBytes, rows, in(), sums);
        }
    }

    @Override
    void decode(long panel, int from, int count, long to, Scratch scratch) {
        boolean narrow = narrow(panel);
        long at = panel + (long) from * (narrow ? HALF : WIDTH) * floats.bytes();
        if (!narrow) {
            decode(at, count * WIDTH, to);
            return;
        }
        for (int k = 0; k < count; k++) {
            decode(at + (long) k * HALF * floats.bytes(), HALF, to + k * ROW);
            Lanes.store(Lanes.zero(), to + k * ROW + ROW / 2);
        }
    }

    private void decode(long from, int count, long to) {
        for (int i = 0; i < count; i += Lanes.L) {
            FloatVector v = switch (floats) {
                case F16 -> Lanes.loadHalves(from + 2L * i);
                case BF16 -> Lanes.loadBrains(from + 2L * i);
                case F32 -> Lanes.load(from + 4L * i);
            };
            Lanes.store(v, to + 4L * i);
        }
    }

    @Override
    boolean multiplyRow(long panel, long x, float[] sums, Scratch scratch) {
        if (narrow(panel)) {
            return false;
        }
        switch (floats) {
            case F16 -> multiplyHalves(panel, in(), x, sums);
            case BF16 -> multiplyBrains(panel, in(), x, sums);
            case F32 -> Tiles.multiply(panel, x, 0, 1, in(), sums, 0);
        }
        return true;
    }

    private static void multiplyHalves(long w, int count, long x, float[] sums) {
        FloatVector a = Lanes.load(sums, 0);
        FloatVector b = Lanes.load(sums, Lanes.L);
        for (int k = 0; k < count; k++) {
            FloatVector v = Lanes.all(Lanes.get(x + 4L * k));
            a = Lanes.loadHalves(w + 2L * WIDTH * k).fma(v, a);
            b = Lanes.loadHalves(w + 2L * WIDTH * k + WIDTH).fma(v, b);
        }
        Lanes.store(a, sums, 0);
        Lanes.store(b, sums, Lanes.L);
    }

    private static void multiplyBrains(long w, int count, long x, float[] sums) {
        FloatVector a = Lanes.load(sums, 0);
        FloatVector b = Lanes.load(sums, Lanes.L);
        for (int k = 0; k < count; k++) {
            FloatVector v = Lanes.all(Lanes.get(x + 4L * k));
            a = Lanes.loadBrains(w + 2L * WIDTH * k).fma(v, a);
            b = Lanes.loadBrains(w + 2L * WIDTH * k + WIDTH).fma(v, b);
        }
        Lanes.store(a, sums, 0);
        Lanes.store(b, sums, Lanes.L);
    }
}
