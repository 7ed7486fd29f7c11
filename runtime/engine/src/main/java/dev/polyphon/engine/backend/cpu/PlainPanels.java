package dev.polyphon.engine.backend.cpu;

import dev.polyphon.engine.backend.cpu.TileCode.Floats;
import dev.polyphon.engine.weights.DType;
import jdk.incubator.vector.FloatVector;

/** Panels of floats: [in][WIDTH] in f32, f16 or bf16. */
final class PlainPanels extends Panels {
    private static final int WIDTH = Panels.WIDTH;

    private final DType type;

    /** @param type F64 is kept as f32 */
    PlainPanels(DType type, int out, int in) {
        super(out, in, (type == DType.F16 || type == DType.BF16 ? 2L : 4L) * in * WIDTH);
        this.type = type;
    }

    /** How its elements are kept, for machine code. */
    Floats floats() {
        return switch (type) {
            case F16 -> Floats.F16;
            case BF16 -> Floats.BF16;
            default -> Floats.F32;
        };
    }

    @Override
    void put(long panel, int i, long source) {
        for (int k = 0; k < in(); k++) {
            long place = (long) k * WIDTH + i;
            switch (type) {
                case F64 -> Lanes.set(panel + 4 * place, (float) Lanes.getDouble(source + 8L * k));
                case F32 -> Lanes.set(panel + 4 * place, Lanes.get(source + 4L * k));
                default -> Lanes.setShort(panel + 2 * place, Lanes.getShort(source + 2L * k));
            }
        }
    }

    @Override
    void decode(long panel, int from, int count, long to, Scratch scratch) {
        switch (type) {
            case F16 -> halves(panel + 2L * WIDTH * from, count * WIDTH, to);
            case BF16 -> brains(panel + 2L * WIDTH * from, count * WIDTH, to);
            default -> Lanes.copy(panel + 4L * WIDTH * from, to, 4L * WIDTH * count);
        }
    }

    private static void halves(long from, int count, long to) {
        for (int i = 0; i < count; i += Lanes.L) {
            Lanes.store(Lanes.loadHalves(from + 2L * i), to + 4L * i);
        }
    }

    private static void brains(long from, int count, long to) {
        for (int i = 0; i < count; i += Lanes.L) {
            Lanes.store(Lanes.loadBrains(from + 2L * i), to + 4L * i);
        }
    }

    @Override
    void multiply(long panel, int from, int count, long x, float[] sums, int at, Scratch scratch) {
        switch (type) {
            case F16 -> multiplyHalves(panel + 2L * WIDTH * from, count, x, sums, at);
            case BF16 -> multiplyBrains(panel + 2L * WIDTH * from, count, x, sums, at);
            default -> Tiles.multiply(panel + 4L * WIDTH * from, x, 0, 1, count, sums, at);
        }
    }

    private static void multiplyHalves(long w, int count, long x, float[] sums, int at) {
        FloatVector a = Lanes.load(sums, at);
        FloatVector b = Lanes.load(sums, at + Lanes.L);
        for (int k = 0; k < count; k++) {
            FloatVector v = Lanes.all(Lanes.get(x + 4L * k));
            a = Lanes.loadHalves(w + 2L * WIDTH * k).fma(v, a);
            b = Lanes.loadHalves(w + 2L * WIDTH * k + WIDTH).fma(v, b);
        }
        Lanes.store(a, sums, at);
        Lanes.store(b, sums, at + Lanes.L);
    }

    private static void multiplyBrains(long w, int count, long x, float[] sums, int at) {
        FloatVector a = Lanes.load(sums, at);
        FloatVector b = Lanes.load(sums, at + Lanes.L);
        for (int k = 0; k < count; k++) {
            FloatVector v = Lanes.all(Lanes.get(x + 4L * k));
            a = Lanes.loadBrains(w + 2L * WIDTH * k).fma(v, a);
            b = Lanes.loadBrains(w + 2L * WIDTH * k + WIDTH).fma(v, b);
        }
        Lanes.store(a, sums, at);
        Lanes.store(b, sums, at + Lanes.L);
    }
}
