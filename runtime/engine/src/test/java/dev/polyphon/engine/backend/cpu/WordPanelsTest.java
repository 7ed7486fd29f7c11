package dev.polyphon.engine.backend.cpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.polyphon.engine.backend.RandomData;
import dev.polyphon.engine.weights.DType;
import dev.polyphon.engine.weights.TensorView;
import java.lang.foreign.Arena;
import java.util.Random;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** The machine code for words against its sums written out in plain Java: the same bits. */
class WordPanelsTest {
    private static final int WIDTH = Panels.WIDTH;

    @BeforeAll
    static void onAProcessorThatHasIt() {
        assumeTrue(MachineTiles.find().isPresent(), "the processor does not have the instructions, or the system does not allow code written at run time");
    }

    @ParameterizedTest
    @EnumSource(value = DType.class, names = {"Q8_0", "Q4_0", "Q4_1", "Q4_K", "Q5_K", "Q6_K"})
    void sumsHaveTheBitsOfPlainJava(DType type) {
        Random random = new Random(5);
        for (int rows = 1; rows <= 17; rows++) {
            int in = type.blockSize() * (1 + random.nextInt(1500 / type.blockSize()));
            try (Arena arena = Arena.ofConfined(); Scratch scratch = new Scratch(); NativeMemory x = new NativeMemory(4L * in * rows);
                    NativeMemory quantised = new NativeMemory(QuantisedRows.bytes(rows, in));
                    NativeMemory sums = new NativeMemory(4L * WIDTH * (rows + Panels.SPARE_ROWS))) {
                long stepBytes = (long) rows * QuantisedRows.RECORD;
                TensorView view = RandomData.matrix(arena, type, WIDTH, in, random);
                try (WordPanels panels = (WordPanels) Panels.pack(view, null, MachineTiles.find().orElseThrow())) {
                    for (int r = 0; r < rows; r++) {
                        for (int k = 0; k < in; k++) {
                            Lanes.set(x.address() + 4L * (r * in + k), (float) random.nextGaussian());
                        }
                        QuantisedRows.quantise(x.address() + 4L * r * in, in, quantised.address() + (long) r * QuantisedRows.RECORD, stepBytes);
                    }
                    Lanes.clear(sums.address(), 4L * WIDTH * rows);
                    panels.multiply(0, quantised.address(), stepBytes, rows, sums.address(), scratch);
                    for (int r = 0; r < rows; r++) {
                        for (int j = 0; j < WIDTH; j++) {
                            float expected = plain(view, j, quantised.address() + (long) r * QuantisedRows.RECORD, stepBytes);
                            assertThat(Lanes.get(sums.address() + 4L * (r * WIDTH + j))).as("%d columns, row %d of %d, output %d", in, r, rows, j).isEqualTo(expected);
                        }
                    }
                }
            }
        }
    }

    /** One output: integers are summed within a group of columns, groups in their order. */
    private static float plain(TensorView w, int row, long x, long stepBytes) {
        DType type = w.dtype();
        int group = new GroupScales(type).group();
        byte[] q = new byte[type.blockSize()];
        float sum = 0;
        for (int block = 0; block < w.dim(1) / type.blockSize(); block++) {
            long at = w.data().address() + row * type.bytes(w.dim(1)) + (long) block * type.blockBytes();
            Quants.read(type, at, q);
            for (int g = 0; g < q.length; g += group) {
                long record = x + (block * q.length + g) / QuantisedRows.COLUMNS * stepBytes;
                int products = 0;
                for (int k = g; k < g + group; k++) {
                    products += q[k] * Lanes.getShort(record + 2L * ((block * q.length + k) % QuantisedRows.COLUMNS));
                }
                sum = Math.fma(products * Lanes.get(record + QuantisedRows.SCALE), scale(type, at, g), sum);
                if (new GroupScales(type).minima()) {
                    sum = Math.fma(minimum(type, at, g), Lanes.get(record + QuantisedRows.SUM), sum);
                }
            }
        }
        return sum;
    }

    private static float half(long at) {
        return Float.float16ToFloat(Lanes.getShort(at));
    }

    private static float scale(DType type, long block, int column) {
        return switch (type) {
            case Q4_K, Q5_K -> half(block) * RowDecoder.scale6(block + 4, column / 32, false);
            case Q6_K -> half(block + 208) * (byte) Lanes.getByte(block + 192 + column / 16);
            default -> half(block);
        };
    }

    private static float minimum(DType type, long block, int column) {
        return switch (type) {
            case Q4_0 -> -8 * half(block);
            case Q4_1 -> half(block + 2);
            default -> -(half(block + 2) * RowDecoder.scale6(block + 4, column / 32, true));
        };
    }

    @Test
    void rowsAreOffByHalfAStepAtMost() {
        Random random = new Random(1);
        try (NativeMemory x = new NativeMemory(4 * 32); NativeMemory to = new NativeMemory(QuantisedRows.RECORD)) {
            for (int round = 0; round < 200; round++) {
                float size = (float) Math.pow(10, random.nextInt(60) - 30);
                float most = 0;
                for (int k = 0; k < 32; k++) {
                    float v = size * (float) random.nextGaussian() * (random.nextInt(16) == 0 ? 300 : 1);
                    most = Math.max(most, Math.abs(v));
                    Lanes.set(x.address() + 4L * k, v);
                }
                QuantisedRows.quantise(x.address(), 32, to.address(), 0);
                float step = Lanes.get(to.address() + QuantisedRows.SCALE);
                double sum = 0;
                for (int k = 0; k < 32; k++) {
                    float v = Lanes.getShort(to.address() + 2L * k) * step;
                    sum += v;
                    assertThat(v).isCloseTo(Lanes.get(x.address() + 4L * k), within(most / 65534 * 1.01f));
                }
                assertThat((double) Lanes.get(to.address() + QuantisedRows.SUM)).isCloseTo(sum, within(most * 1e-5));
            }
        }
    }

    @Test
    void zerosStayZeroAndWhatIsNotFiniteShows() {
        try (NativeMemory x = new NativeMemory(4 * 32); NativeMemory to = new NativeMemory(QuantisedRows.RECORD)) {
            Lanes.clear(x.address(), 4 * 32);
            QuantisedRows.quantise(x.address(), 32, to.address(), 0);
            assertThat(Lanes.get(to.address() + QuantisedRows.SUM)).isZero();
            assertThat(Lanes.getShort(to.address())).isZero();
            for (float bad : new float[] {Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY}) {
                Lanes.set(x.address() + 4 * 7, bad);
                QuantisedRows.quantise(x.address(), 32, to.address(), 0);
                assertThat(Lanes.get(to.address() + QuantisedRows.SCALE)).isNaN();
            }
        }
    }
}
