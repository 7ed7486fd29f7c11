package dev.polyphon.engine.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.polyphon.engine.backend.AttentionSpec;
import dev.polyphon.engine.backend.Batch;
import dev.polyphon.engine.backend.Kernels;
import dev.polyphon.engine.backend.KernelsContract;
import dev.polyphon.engine.backend.KvCache;
import dev.polyphon.engine.backend.LowRank;
import dev.polyphon.engine.backend.NormKind;
import dev.polyphon.engine.backend.Projection;
import dev.polyphon.engine.backend.RandomData;
import dev.polyphon.engine.backend.Tensor;
import dev.polyphon.engine.backend.Weight;
import dev.polyphon.engine.weights.DType;
import java.lang.foreign.Arena;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

/** What the kernels for tensor cores must do: near the reference as far as bf16 and tf32 go, and rows as independent as anywhere. */
abstract class TensorCoresContract extends KernelsContract {
    /** Opens the device, with at most so many bytes of its memory. */
    abstract CudaKernels open(long memory, Precision precision);

    @Override
    protected Kernels open(int threads) {
        return open(1L << 30, Precision.BF16);
    }

    @Override
    protected float kvError() {
        return 1f / 128;
    }

    /** Of sums of up to 700 products, each with an error of half a unit in the last place of its factors. */
    @Override
    protected float linearError(DType weights) {
        return weights == DType.BF16 ? 0.05f : 0.02f;
    }

    /** Few rows and many go through different kernels. */
    @Test
    void manyRowsHaveTheBitsOfOne() {
        Random random = new Random(5);
        for (int in : new int[] {40, 520}) {
            try (Kernels kernels = open(1); Arena arena = Arena.ofShared()) {
                int out = 150;
                int rows = 140;
                Weight weight = kernels.weight(RandomData.matrix(arena, DType.BF16, out, in, random));
                Tensor bias = RandomData.tensor(kernels, 1, out, RandomData.gaussian(out, random));
                Tensor x = RandomData.tensor(kernels, rows, in, RandomData.gaussian(rows * in, random));
                Tensor together = kernels.tensor(rows, out);
                Tensor apart = kernels.tensor(rows, out);
                kernels.linear(x, 0, rows, List.of(new Projection(weight, bias, together)));
                for (int first : new int[] {0, 1, 9, 70, 138}) {
                    kernels.linear(x, first, first == 9 ? 61 : first == 70 ? 20 : 1, List.of(new Projection(weight, bias, apart)));
                }
                float[] all = RandomData.values(kernels, together);
                float[] some = RandomData.values(kernels, apart);
                for (int r : new int[] {0, 1, 9, 40, 69, 70, 89, 138}) {
                    assertThat(Arrays.copyOfRange(some, r * out, (r + 1) * out)).containsExactly(Arrays.copyOfRange(all, r * out, (r + 1) * out));
                }
            }
        }
    }

    /** A context of several spans: a prompt's rows go over them one after the other, single rows at once; the same bits, and near what f32 gives. */
    @Test
    void aLongContextHasTheSameBitsHoweverItIsSplit() {
        for (int window : new int[] {0, 300}) {
            AttentionSpec spec = new AttentionSpec(6, 2, 40, 0.16f, window, 0, null);
            int length = 600;
            int[] blocks = IntStream.range(0, 10).map(i -> 9 - i).toArray();
            float[] keys = RandomData.gaussian(length * 80, new Random(1));
            float[] values = RandomData.gaussian(length * 80, new Random(2));
            float[] queries = RandomData.gaussian(length * 240, new Random(3));
            float[][] results = new float[2][];
            for (Precision precision : Precision.values()) {
                try (Kernels kernels = open(1L << 28, precision)) {
                    KvCache cache = kernels.kvCache(1, 2, 40, 10, 64).openAll();
                    Batch all = new Batch(new int[length], IntStream.range(0, length).toArray(), new int[] {0, length}, new int[][] {blocks});
                    kernels.writeKv(cache, 0, RandomData.tensor(kernels, length, 80, keys), RandomData.tensor(kernels, length, 80, values), all);
                    int first = 590;
                    Batch chunk = new Batch(new int[10], IntStream.range(first, length).toArray(), new int[] {0, 10}, new int[][] {blocks});
                    Tensor some = kernels.tensor(10, 240);
                    Tensor last = RandomData.tensor(kernels, 10, 240, Arrays.copyOfRange(queries, first * 240, length * 240));
                    kernels.attention(spec, last, cache, 0, chunk, some);
                    results[precision.ordinal()] = RandomData.values(kernels, some);
                    Batch singles = new Batch(new int[3], new int[] {590, 595, 599}, new int[] {0, 1, 2, 3}, new int[][] {blocks, blocks, blocks});
                    Tensor three = kernels.tensor(3, 240);
                    kernels.gather(last, new int[] {0, 5, 9}, 3, three);
                    Tensor out = kernels.tensor(3, 240);
                    kernels.attention(spec, three, cache, 0, singles, out);
                    float[] alone = RandomData.values(kernels, out);
                    for (int i = 0; i < 3; i++) {
                        int r = new int[] {0, 5, 9}[i];
                        assertThat(Arrays.copyOfRange(alone, i * 240, (i + 1) * 240)).as("%s, row %d", precision, r)
                                .containsExactly(Arrays.copyOfRange(results[precision.ordinal()], r * 240, (r + 1) * 240));
                    }
                }
            }
            for (int i = 0; i < results[0].length; i++) {
                assertThat(results[1][i]).isCloseTo(results[0][i], within(0.02f));
            }
        }
    }

    /** The same step again and again is one graph, which reads each step's own tables. */
    @Test
    void stepsOfOneShapeAreReplayed() {
        try (CudaKernels kernels = open(1L << 28, Precision.BF16); Arena arena = Arena.ofShared()) {
            Random random = new Random(1);
            Weight table = kernels.rows(RandomData.matrix(arena, DType.F32, 20, 64, random));
            Weight weight = kernels.weight(RandomData.matrix(arena, DType.BF16, 64, 64, random));
            Tensor x = kernels.tensor(2, 64);
            Tensor y = kernels.tensor(2, 64);
            List<Projection> projections = List.of(new Projection(weight, null, y));
            List<LowRank> deltas = List.of(new LowRank(0, 2, kernels.weight(RandomData.matrix(arena, DType.BF16, 4, 64, random)),
                    kernels.weight(RandomData.matrix(arena, DType.BF16, 64, 4, random)), 1, y));
            float[][] results = new float[8][];
            for (int i = 0; i < results.length; i++) {
                int[] ids = {i % 4, i % 4 + 7};
                kernels.begin(new Batch(ids, ids, new int[] {0, 1, 2}, new int[2][]));
                kernels.embed(table, ids, 2, 1, x);
                kernels.norm(NormKind.RMS, 1e-5f, null, null, 64, x, 2, x);
                kernels.linear(x, 0, 2, projections, deltas);
                kernels.end();
                results[i] = RandomData.values(kernels, y);
            }
            assertThat(kernels.graphs()).isEqualTo(1);
            for (int i = 0; i < 4; i++) {
                assertThat(results[i + 4]).containsExactly(results[i]);
                assertThat(results[i]).isNotEqualTo(results[(i + 1) % 4]);
            }
        }
    }
}
