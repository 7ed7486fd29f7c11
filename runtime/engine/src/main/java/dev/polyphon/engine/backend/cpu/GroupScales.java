package dev.polyphon.engine.backend.cpu;

import dev.polyphon.engine.weights.DType;
import jdk.incubator.vector.FloatVector;

/**
 * The scales at the start of a panel of quantised elements, {@code w = scale · q + minimum}, one for each row and group of columns, most types with a
 * minimum. They are stored as the file has them, only reordered; {@link #expand} makes f32 of a range of them right before their elements are read.
 */
final class GroupScales {
    private static final int WIDTH = Panels.WIDTH;
    private static final long ROW = 4L * WIDTH;
    private static final int SUPER = 256;

    private final DType type;

    GroupScales(DType type) {
        this.type = type;
    }

    /** Columns that share a scale. */
    int group() {
        return type == DType.Q6_K ? 16 : 32;
    }

    /** Whether groups have a minimum; it follows the scale. */
    boolean minima() {
        return type != DType.Q8_0 && type != DType.Q6_K;
    }

    /** What the scales of a panel take. */
    long bytes(int in) {
        int perBlock = switch (type) {
            case Q8_0, Q4_0 -> 2;
            case Q4_1 -> 4;
            case Q4_K, Q5_K -> 4 + 16;
            case Q6_K -> 2 + 16;
            default -> throw new IllegalArgumentException("no groups in " + type);
        };
        return (long) in / type.blockSize() * perBlock * WIDTH;
    }

    /** Takes the scales of one of the file's blocks for the panel's row {@code i}. */
    void put(long panel, int i, int block, long from) {
        switch (type) {
            case Q8_0, Q4_0 -> Lanes.setShort(panel + 2L * (block * WIDTH + i), Lanes.getShort(from));
            case Q4_1 -> {
                Lanes.setShort(panel + 2L * (block * 2 * WIDTH + i), Lanes.getShort(from));
                Lanes.setShort(panel + 2L * ((block * 2 + 1) * WIDTH + i), Lanes.getShort(from + 2));
            }
            case Q4_K, Q5_K -> {
                long to = panel + (long) block * 20 * WIDTH;
                Lanes.setShort(to + 2L * i, Lanes.getShort(from));
                Lanes.setShort(to + 2L * (WIDTH + i), Lanes.getShort(from + 2));
                for (int g = 0; g < 8; g++) {
                    Lanes.setByte(to + 4L * WIDTH + 2L * g * WIDTH + i, RowDecoder.scale6(from + 4, g, false));
                    Lanes.setByte(to + 4L * WIDTH + (2L * g + 1) * WIDTH + i, RowDecoder.scale6(from + 4, g, true));
                }
            }
            case Q6_K -> {
                long to = panel + (long) block * 18 * WIDTH;
                Lanes.setShort(to + 2L * i, Lanes.getShort(from + 208));
                for (int g = 0; g < 16; g++) {
                    Lanes.setByte(to + (2L + g) * WIDTH + i, Lanes.getByte(from + 192 + g));
                }
            }
            default -> throw new IllegalStateException();
        }
    }

    /** The f32 scales, [group][scale, minimum][WIDTH], of the groups of some columns, in the scratch's {@link Scratch#scales()}. */
    long expand(long panel, int from, int count, Scratch scratch) {
        long to = scratch.scales();
        int block = from / type.blockSize();
        switch (type) {
            case Q8_0 -> halves(panel + 2L * WIDTH * block, count / 32 * WIDTH, to);
            case Q4_0 -> scalesAndEights(panel + 2L * WIDTH * block, count / 32, to);
            case Q4_1 -> halves(panel + 4L * WIDTH * block, count / 32 * 2 * WIDTH, to);
            case Q4_K, Q5_K -> {
                for (int k = 0; k < count; k += 32) {
                    long superScales = panel + (long) ((from + k) / SUPER) * 20 * WIDTH;
                    int g = (from + k) % SUPER / 32;
                    product(superScales, superScales + (4L + 2 * g) * WIDTH, to + k / 32 * 2 * ROW, 1);
                    product(superScales + 2L * WIDTH, superScales + (5L + 2 * g) * WIDTH, to + (k / 32 * 2 + 1) * ROW, -1);
                }
            }
            case Q6_K -> {
                for (int k = 0; k < count; k += 16) {
                    long superScales = panel + (long) ((from + k) / SUPER) * 18 * WIDTH;
                    product(superScales, superScales + (2L + (from + k) % SUPER / 16) * WIDTH, to + k / 16 * ROW, 1);
                }
            }
            default -> throw new IllegalStateException();
        }
        return to;
    }

    private static void halves(long from, int count, long to) {
        for (int i = 0; i < count; i += Lanes.L) {
            Lanes.store(Lanes.loadHalves(from + 2L * i), to + 4L * i);
        }
    }

    /** Q4_0: the minimum is -8 times the scale. */
    private static void scalesAndEights(long from, int groups, long to) {
        for (int g = 0; g < groups; g++) {
            for (int i = 0; i < WIDTH; i += Lanes.L) {
                FloatVector scale = Lanes.loadHalves(from + 2L * (g * WIDTH + i));
                Lanes.store(scale, to + 2 * g * ROW + 4L * i);
                Lanes.store(scale.mul(-8f), to + (2 * g + 1) * ROW + 4L * i);
            }
        }
    }

    /** A super-block's scale times a group's small integer, as the formats define a group's scale. */
    private static void product(long halves, long bytes, long to, float sign) {
        for (int i = 0; i < WIDTH; i += Lanes.L) {
            Lanes.store(Lanes.loadHalves(halves + 2L * i).mul(Lanes.loadBytesAsFloats(bytes + i)).mul(sign), to + 4L * i);
        }
    }
}
