package dev.polyphon.engine.backend;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assumptions.assumeThat;

import dev.polyphon.engine.backend.reference.ReferenceKernels;
import dev.polyphon.engine.weights.DType;
import dev.polyphon.engine.weights.TensorView;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.function.BiFunction;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * What all kernels must do: the same as the scalar reference, near enough, on random shapes; and rows that do not know of each other, bit for bit.
 */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
public abstract class KernelsContract {
    private static final DType[] WEIGHT_TYPES = {DType.F64, DType.F32, DType.F16, DType.BF16, DType.Q8_0, DType.Q4_0, DType.Q4_1, DType.Q4_K,
            DType.Q5_K, DType.Q6_K};

    private final ReferenceKernels reference = new ReferenceKernels();
    private Kernels one;
    private Kernels many;

    /** Kernels under test that compute on so many threads. */
    protected abstract Kernels open(int threads);

    /** Largest error of keys and values in the cache, relative to their size. */
    protected float kvError() {
        return 0;
    }

    /** Largest error of a linear layer's outputs, relative to their size or to inputs of variance 1. */
    protected float linearError(DType weights) {
        return 2e-5f;
    }

    /** Rounds of random shapes; fewer where a device is slow. */
    protected int rounds(int most) {
        return most;
    }

    @BeforeAll
    void open() {
        one = open(1);
        many = open(3);
    }

    @AfterAll
    void close() {
        if (many != null) {
            one.close();
            many.close();
        }
    }

    /** Runs an operation on both and compares; returns what the tested kernels gave. */
    private void compare(float tolerance, BiFunction<Kernels, Random, float[]> operation, int rounds) {
        for (int round = 0; round < rounds(rounds); round++) {
            int seed = round;
            float[] expected = operation.apply(reference, new Random(seed));
            for (Kernels kernels : List.of(one, many)) {
                float[] actual = operation.apply(kernels, new Random(seed));
                assertNear(actual, expected, tolerance, "round " + round);
            }
        }
    }

    private static void assertNear(float[] actual, float[] expected, float tolerance, String what) {
        assertThat(actual.length).isEqualTo(expected.length);
        for (int i = 0; i < actual.length; i++) {
            float allowed = tolerance * (1 + Math.abs(expected[i]));
            if (!(Math.abs(actual[i] - expected[i]) <= allowed)) {
                throw new AssertionError(what + ", element " + i + " of " + actual.length + ": " + actual[i] + " instead of " + expected[i]);
            }
        }
    }

    private static int upTo(Random random, int most) {
        return 1 + random.nextInt(most);
    }

    private static Tensor random(Kernels kernels, int rows, int columns, Random random) {
        return RandomData.tensor(kernels, rows, columns, RandomData.gaussian(rows * columns, random));
    }

    private static int width(DType type, Random random, int most) {
        return type.quantised() ? type.blockSize() * upTo(random, Math.max(1, most / type.blockSize())) : upTo(random, most);
    }

    private static int[] permutation(int n, Random random) {
        int[] p = new int[n];
        for (int i = 0; i < n; i++) {
            int j = random.nextInt(i + 1);
            p[i] = p[j];
            p[j] = i;
        }
        return p;
    }

    // ---- linear

    @ParameterizedTest
    @EnumSource(value = DType.class, names = {"F64", "F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q4_K", "Q5_K", "Q6_K"})
    void linearAgreesWithTheReference(DType type) {
        compare(linearError(type), (kernels, random) -> linear(kernels, random, type), 40);
    }

    private static float[] linear(Kernels kernels, Random random, DType type) {
        try (Arena arena = Arena.ofShared()) {
            int in = width(type, random, 700);
            int total = upTo(random, 40);
            int first = random.nextInt(total);
            int rows = random.nextInt(total - first + 1);
            int surplus = random.nextInt(3);
            Tensor x = random(kernels, total, in + surplus, random);
            List<Projection> projections = new ArrayList<>();
            for (int i = upTo(random, 3); i > 0; i--) {
                int out = upTo(random, random.nextInt(4) == 0 ? 2000 : 150);
                TensorView view = RandomData.matrix(arena, type, out, in, random);
                Weight w = random.nextInt(3) == 0 ? kernels.weight(view, permutation(out, random)) : kernels.weight(view);
                Tensor bias = random.nextBoolean() ? random(kernels, 1, out, random) : null;
                projections.add(new Projection(w, bias, random(kernels, total, out + random.nextInt(3), random)));
            }
            kernels.linear(x, first, rows, projections);
            return flat(projections.stream().map(p -> RandomData.values(kernels, p.out())).toList());
        }
    }

    private static float[] flat(List<float[]> parts) {
        float[] all = new float[parts.stream().mapToInt(p -> p.length).sum()];
        int at = 0;
        for (float[] p : parts) {
            System.arraycopy(p, 0, all, at, p.length);
            at += p.length;
        }
        return all;
    }

    /** Both kinds of weights are read back as what they multiply with. */
    @ParameterizedTest
    @EnumSource(value = DType.class, names = {"F64", "F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q4_K", "Q5_K", "Q6_K"})
    void weightsAreReadBack(DType type) {
        compare(1e-6f, (kernels, random) -> {
            try (Arena arena = Arena.ofShared()) {
                int in = width(type, random, 1500);
                int out = upTo(random, 90);
                int first = random.nextInt(out);
                int rows = random.nextInt(out - first + 1);
                TensorView view = RandomData.matrix(arena, type, out, in, random);
                int[] order = random.nextInt(3) == 0 ? permutation(out, random) : null;
                float[] values = new float[rows * in];
                float[] looked = new float[rows * in];
                try (Weight w = kernels.weight(view, order); Weight table = kernels.rows(view, order)) {
                    kernels.read(w, first, rows, values);
                    kernels.read(table, first, rows, looked);
                }
                assertNear(values, looked, 1e-6f, type + " by panels and by rows");
                return values;
            }
        }, 10);
    }

    /** Every row of a batch of 37, and of its parts, has the bits it has when computed alone on one thread. */
    @ParameterizedTest
    @EnumSource(value = DType.class, names = {"F64", "F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q4_K", "Q5_K", "Q6_K"})
    void linearRowsAreIndependent(DType type) {
        for (int seed = 0; seed < rounds(6); seed++) {
            Random random = new Random(seed);
            try (Arena arena = Arena.ofShared()) {
                int in = width(type, random, 1100);
                int out = upTo(random, 700);
                int rows = 37;
                TensorView view = RandomData.matrix(arena, type, out, in, random);
                float[] input = RandomData.gaussian(rows * in, random);
                float[] alone = new float[rows * out];
                for (int r = 0; r < rows; r++) {
                    float[] row = product(one, view, Arrays.copyOfRange(input, r * in, (r + 1) * in), 1, 0, 1);
                    System.arraycopy(row, 0, alone, r * out, out);
                }
                for (int count : new int[] {1, 2, 3, 5, 7, 8, 11, 16, 37}) {
                    int first = random.nextInt(rows - count + 1);
                    for (Kernels kernels : List.of(one, many)) {
                        float[] some = product(kernels, view, input, rows, first, count);
                        assertThat(Arrays.copyOfRange(some, first * out, (first + count) * out))
                                .as("%s %d x %d, rows %d to %d", type, out, in, first, first + count)
                                .containsExactly(Arrays.copyOfRange(alone, first * out, (first + count) * out));
                    }
                }
            }
        }
    }

    private static float[] product(Kernels kernels, TensorView view, float[] input, int total, int first, int rows) {
        try (Tensor x = RandomData.tensor(kernels, total, view.dim(1), input);
                Weight w = kernels.weight(view);
                Tensor out = kernels.tensor(total, view.dim(0))) {
            kernels.linear(x, first, rows, List.of(new Projection(w, null, out)));
            return RandomData.values(kernels, out);
        }
    }

    @Test
    void infinitePaddingDoesNotLeakIntoALinearLayer() {
        try (Arena arena = Arena.ofShared()) {
            Random random = new Random(1);
            TensorView view = RandomData.matrix(arena, DType.F32, 5, 7, random);
            float[] input = new float[8];
            input[0] = 1;
            input[7] = Float.POSITIVE_INFINITY;
            Tensor x = RandomData.tensor(one, 1, 8, input);
            Tensor out = one.tensor(1, 5);
            one.linear(x, 0, 1, List.of(new Projection(one.weight(view), null, out)));
            for (float v : RandomData.values(one, out)) {
                assertThat(v).isFinite();
            }
        }
    }

    // ---- low rank

    @Test
    void lowRankAgreesWithTheReference() {
        compare(2e-5f, KernelsContract::lowRank, 150);
    }

    private static float[] lowRank(Kernels kernels, Random random) {
        try (Arena arena = Arena.ofShared()) {
            int rows = upTo(random, 40);
            int in = 32 * upTo(random, 12) + (random.nextBoolean() ? random.nextInt(32) : 0);
            Tensor x = random(kernels, rows, in, random);
            List<Tensor> outs = new ArrayList<>();
            List<LowRank> items = new ArrayList<>();
            for (int projection = upTo(random, 3); projection > 0; projection--) {
                int out = upTo(random, 300);
                Tensor y = random(kernels, rows, out, random);
                outs.add(y);
                for (int first = random.nextInt(rows); first < rows;) {
                    int count = Math.min(rows - first, random.nextInt(3) == 0 ? random.nextInt(20) : 1);
                    int rank = upTo(random, 64);
                    DType type = new DType[] {DType.F32, DType.F16, DType.BF16}[random.nextInt(3)];
                    Weight a = kernels.weight(RandomData.matrix(arena, type, rank, in, random));
                    Weight b = kernels.weight(RandomData.matrix(arena, type, out, rank, random));
                    items.add(new LowRank(first, count, a, b, random.nextFloat() * 4, y));
                    first += count + random.nextInt(3);
                }
            }
            kernels.lowRank(x, items);
            return flat(outs.stream().map(t -> RandomData.values(kernels, t)).toList());
        }
    }

    /** A linear layer and deltas of its outputs in one operation have the bits of the two. */
    @Test
    void lowRankWithALinearLayerHasTheSameBits() {
        for (int seed = 0; seed < rounds(60); seed++) {
            Random random = new Random(seed);
            try (Arena arena = Arena.ofShared()) {
                int rows = upTo(random, 200);
                int in = 32 * upTo(random, 20);
                float[] input = RandomData.gaussian(rows * in, random);
                for (Kernels kernels : List.of(one, many)) {
                    Tensor x = RandomData.tensor(kernels, rows, in, input);
                    List<Projection> together = new ArrayList<>();
                    List<Projection> apart = new ArrayList<>();
                    List<LowRank> deltas = new ArrayList<>();
                    List<LowRank> after = new ArrayList<>();
                    for (int p = upTo(random, 3); p > 0; p--) {
                        int out = random.nextBoolean() ? 32 * upTo(random, 10) : upTo(random, 300);
                        Weight w = kernels.weight(RandomData.matrix(arena, random.nextInt(4) == 0 ? DType.F16 : DType.Q8_0, out, in, random));
                        together.add(new Projection(w, null, kernels.tensor(rows, out)));
                        apart.add(new Projection(w, null, kernels.tensor(rows, out)));
                        for (int first = random.nextInt(rows); first < rows;) {
                            int count = random.nextBoolean() ? 1 : Math.min(rows - first, upTo(random, 40));
                            int rank = random.nextBoolean() ? 8 * upTo(random, 8) : upTo(random, 40);
                            DType type = new DType[] {DType.F16, DType.F16, DType.F32, DType.BF16}[random.nextInt(4)];
                            Weight a = kernels.weight(RandomData.matrix(arena, type, rank, in, random));
                            Weight b = kernels.weight(RandomData.matrix(arena, type, out, rank, random));
                            deltas.add(new LowRank(first, count, a, b, 2, together.getLast().out()));
                            after.add(new LowRank(first, count, a, b, 2, apart.getLast().out()));
                            first += count + random.nextInt(3);
                        }
                    }
                    kernels.linear(x, 0, rows, together, deltas);
                    kernels.linear(x, 0, rows, apart);
                    kernels.lowRank(x, after);
                    assertThat(flat(together.stream().map(t -> RandomData.values(kernels, t.out())).toList()))
                            .containsExactly(flat(apart.stream().map(t -> RandomData.values(kernels, t.out())).toList()));
                }
            }
        }
    }

    @Test
    void lowRankOfNothingDoesNothing() {
        Tensor x = one.tensor(2, 8);
        many.lowRank(x, List.of());
        one.lowRank(x, List.of());
    }

    /** A row's delta has the same bits alone, among rows of its own adapter and among those of others. */
    @Test
    void lowRankRowsAreIndependent() {
        for (int seed = 0; seed < rounds(20); seed++) {
            Random random = new Random(seed);
            try (Arena arena = Arena.ofShared()) {
                int rows = 19;
                int in = upTo(random, 600);
                int out = upTo(random, 600);
                float[] input = RandomData.gaussian(rows * in, random);
                DType type = new DType[] {DType.F32, DType.F16, DType.BF16}[random.nextInt(3)];
                TensorView[] a = new TensorView[3];
                TensorView[] b = new TensorView[3];
                for (int i = 0; i < 3; i++) {
                    int rank = new int[] {4, 16, 64, 5, 33}[random.nextInt(5)];
                    a[i] = RandomData.matrix(arena, type, rank, in, random);
                    b[i] = RandomData.matrix(arena, type, out, rank, random);
                }
                int[] ends = {1, 12, 19};
                float[] together = null;
                for (Kernels kernels : List.of(one, many)) {
                    Tensor x = RandomData.tensor(kernels, rows, in, input);
                    Tensor y = kernels.tensor(rows, out);
                    List<LowRank> items = new ArrayList<>();
                    for (int i = 0, first = 0; i < 3; first = ends[i++]) {
                        items.add(new LowRank(first, ends[i] - first, kernels.weight(a[i]), kernels.weight(b[i]), 2, y));
                    }
                    kernels.lowRank(x, items);
                    float[] result = RandomData.values(kernels, y);
                    if (together != null) {
                        assertThat(result).containsExactly(together);
                    }
                    together = result;
                }
                for (int r = 0; r < rows; r++) {
                    int i = r < ends[0] ? 0 : r < ends[1] ? 1 : 2;
                    Tensor x = RandomData.tensor(one, 1, in, Arrays.copyOfRange(input, r * in, (r + 1) * in));
                    Tensor y = one.tensor(1, out);
                    one.lowRank(x, List.of(new LowRank(0, 1, one.weight(a[i]), one.weight(b[i]), 2, y)));
                    assertThat(RandomData.values(one, y)).containsExactly(Arrays.copyOfRange(together, r * out, (r + 1) * out));
                }
            }
        }
    }

    // ---- attention

    private record Shape(AttentionSpec spec, int blockSize, int[] lengths, int[] queries) {
        static Shape random(Random random) {
            int kvHeads = upTo(random, 4);
            int heads = kvHeads * (random.nextBoolean() ? 1 : upTo(random, 4));
            int dim = new int[] {16, 64, 80, 96, 128, 12, 8, 5}[random.nextInt(8)];
            int window = random.nextInt(3) == 0 ? upTo(random, 40) : 0;
            float softCap = random.nextInt(3) == 0 ? 5 : 0;
            float[] slopes = null;
            if (random.nextInt(3) == 0) {
                slopes = new float[heads];
                for (int i = 0; i < heads; i++) {
                    slopes[i] = (float) Math.pow(2, -i - 1);
                }
            }
            int sequences = upTo(random, 5);
            int[] lengths = new int[sequences];
            int[] queries = new int[sequences];
            for (int s = 0; s < sequences; s++) {
                lengths[s] = upTo(random, 90);
                queries[s] = random.nextBoolean() ? 1 : upTo(random, lengths[s]);
            }
            return new Shape(new AttentionSpec(heads, kvHeads, dim, (float) (1 / Math.sqrt(dim)), window, softCap, slopes),
                    new int[] {16, 1, 7, 32}[random.nextInt(4)], lengths, queries);
        }

        int[][] blocks(Random random) {
            int total = Arrays.stream(lengths).map(l -> (l + blockSize - 1) / blockSize).sum();
            int[] all = permutation(total + 3, random);
            int[][] tables = new int[lengths.length][];
            int at = 0;
            for (int s = 0; s < lengths.length; s++) {
                int n = (lengths[s] + blockSize - 1) / blockSize;
                tables[s] = Arrays.copyOfRange(all, at, at + n);
                at += n;
            }
            return tables;
        }
    }

    /** Rows {@code lengths - queries} to {@code lengths} of each sequence, or all rows before those. */
    private static Batch batch(Shape shape, int[][] blocks, boolean before) {
        int sequences = shape.lengths.length;
        int[] firstRow = new int[sequences + 1];
        for (int s = 0; s < sequences; s++) {
            firstRow[s + 1] = firstRow[s] + (before ? shape.lengths[s] - shape.queries[s] : shape.queries[s]);
        }
        int[] positions = new int[firstRow[sequences]];
        for (int s = 0; s < sequences; s++) {
            for (int r = firstRow[s]; r < firstRow[s + 1]; r++) {
                positions[r] = r - firstRow[s] + (before ? 0 : shape.lengths[s] - shape.queries[s]);
            }
        }
        return new Batch(new int[positions.length], positions, firstRow, blocks);
    }

    private static KvCache filled(Kernels kernels, Shape shape, int[][] blocks, Random random) {
        return filled(kernels, shape, blocks, random, DType.F32, false);
    }

    /** @param rounded whether keys and values are all half floats, whatever they are kept in */
    private static KvCache filled(Kernels kernels, Shape shape, int[][] blocks, Random random, DType type, boolean rounded) {
        int most = Arrays.stream(blocks).flatMapToInt(Arrays::stream).max().orElse(0) + 1;
        int width = shape.spec.kvHeads() * shape.spec.headDim();
        KvCache cache = (type == DType.F32 ? kernels.kvCache(2, shape.spec.kvHeads(), shape.spec.headDim(), most, shape.blockSize)
                : kernels.kvCache(2, shape.spec.kvHeads(), shape.spec.headDim(), most, shape.blockSize, type)).openAll();
        for (boolean before : new boolean[] {true, false}) {
            Batch batch = batch(shape, blocks, before);
            for (int layer = 0; layer < 2; layer++) {
                float[] keys = RandomData.gaussian((batch.rows() + 1) * width, random);
                float[] values = RandomData.gaussian((batch.rows() + 1) * width, random);
                for (int i = 0; rounded && i < keys.length; i++) {
                    keys[i] = Float.float16ToFloat(Float.floatToFloat16(keys[i]));
                    values[i] = Float.float16ToFloat(Float.floatToFloat16(values[i]));
                }
                try (Tensor k = RandomData.tensor(kernels, batch.rows() + 1, width, keys);
                        Tensor v = RandomData.tensor(kernels, batch.rows() + 1, width, values)) {
                    kernels.writeKv(cache, layer, k, v, batch);
                }
            }
        }
        return cache;
    }

    @Test
    void attentionAgreesWithTheReference() {
        compare(Math.max(2e-5f, 4 * kvError()), (kernels, random) -> {
            Shape shape = Shape.random(random);
            int[][] blocks = shape.blocks(random);
            Batch batch = batch(shape, blocks, false);
            int width = shape.spec.heads() * shape.spec.headDim();
            try (KvCache cache = filled(kernels, shape, blocks, random);
                    Tensor q = random(kernels, batch.rows(), width, random);
                    Tensor out = kernels.tensor(batch.rows(), width)) {
                kernels.attention(shape.spec, q, cache, random.nextInt(2), batch, out);
                return RandomData.values(kernels, out);
            }
        }, 150);
    }

    /** Keys and values kept in half floats are the same as those that were half floats before, to the bit. */
    @Test
    void attentionOverHalfFloats() {
        assumeThat(many.kvType(DType.F16)).as("what keys and values are kept in").isEqualTo(DType.F16);
        for (int seed = 0; seed < rounds(30); seed++) {
            Random random = new Random(seed);
            Shape shape = Shape.random(random);
            int[][] blocks = shape.blocks(random);
            Batch batch = batch(shape, blocks, false);
            int width = shape.spec.heads() * shape.spec.headDim();
            try (KvCache floats = filled(many, shape, blocks, new Random(seed), DType.F32, true);
                    KvCache halves = filled(many, shape, blocks, new Random(seed), DType.F16, false);
                    Tensor q = random(many, batch.rows(), width, random);
                    Tensor out = many.tensor(batch.rows(), width)) {
                many.attention(shape.spec, q, floats, 1, batch, out);
                float[] expected = RandomData.values(many, out);
                many.attention(shape.spec, q, halves, 1, batch, out);
                assertThat(RandomData.values(many, out)).as("seed %d", seed).containsExactly(expected);
                assertThat(halves.blockBytes()).as("seed %d", seed).isLessThan(floats.blockBytes());
            }
        }
    }

    @Test
    void attentionRowsAreIndependent() {
        for (int seed = 0; seed < rounds(30); seed++) {
            Random random = new Random(seed);
            Shape shape = Shape.random(random);
            int[][] blocks = shape.blocks(random);
            Batch all = batch(shape, blocks, false);
            int width = shape.spec.heads() * shape.spec.headDim();
            float[] queries = RandomData.gaussian(all.rows() * width, random);
            try (KvCache cache = filled(many, shape, blocks, new Random(seed));
                    KvCache alone = filled(one, shape, blocks, new Random(seed));
                    Tensor q = RandomData.tensor(many, all.rows(), width, queries);
                    Tensor out = many.tensor(all.rows(), width)) {
                many.attention(shape.spec, q, cache, 1, all, out);
                float[] together = RandomData.values(many, out);
                for (int s = 0; s < all.sequences(); s++) {
                    for (int r = all.firstRow()[s]; r < all.firstRow()[s + 1]; r++) {
                        Batch single = new Batch(new int[1], new int[] {all.positions()[r]}, new int[] {0, 1}, new int[][] {blocks[s]});
                        try (Tensor row = RandomData.tensor(one, 1, width, Arrays.copyOfRange(queries, r * width, (r + 1) * width));
                                Tensor rowOut = one.tensor(1, width)) {
                            one.attention(shape.spec, row, alone, 1, single, rowOut);
                            assertThat(RandomData.values(one, rowOut)).as("seed %d, row %d", seed, r)
                                    .containsExactly(Arrays.copyOfRange(together, r * width, (r + 1) * width));
                        }
                    }
                }
            }
        }
    }

    // ---- rows

    @Test
    void embeddingAgreesWithTheReference() {
        compare(1e-6f, (kernels, random) -> {
            try (Arena arena = Arena.ofShared()) {
                DType type = WEIGHT_TYPES[random.nextInt(WEIGHT_TYPES.length)];
                int in = width(type, random, 600);
                int vocabulary = upTo(random, 50);
                int[] ids = random.ints(20, 0, vocabulary).toArray();
                Weight table = kernels.rows(RandomData.matrix(arena, type, vocabulary, in, random));
                Tensor out = random(kernels, 20, in + random.nextInt(2), random);
                kernels.embed(table, ids, random.nextInt(21), random.nextBoolean() ? 1 : 24.5f, out);
                return RandomData.values(kernels, out);
            }
        }, 60);
    }

    @Test
    void normsAgreeWithTheReference() {
        compare(1e-5f, (kernels, random) -> {
            int group = upTo(random, 700);
            int columns = group * upTo(random, 5);
            int rows = upTo(random, 30);
            Tensor weight = random.nextInt(4) == 0 ? null : random(kernels, 1, group, random);
            Tensor bias = random.nextBoolean() ? null : random(kernels, 1, group, random);
            Tensor x = random(kernels, rows, columns, random);
            NormKind kind = NormKind.values()[random.nextInt(2)];
            Tensor out = random.nextBoolean() ? x : kernels.tensor(rows, columns);
            // A group of one has no variance: epsilon keeps it apart from zero.
            kernels.norm(kind, 1e-3f, weight, bias, group, x, random.nextInt(rows + 1), out);
            return RandomData.values(kernels, out);
        }, 60);
    }

    /** With the sum before it, too, which stays in the input. */
    @Test
    void sumsAreNormalised() {
        compare(1e-5f, (kernels, random) -> {
            int columns = upTo(random, 3000);
            int rows = upTo(random, 20);
            Tensor x = random(kernels, rows, columns, random);
            Tensor addend = random.nextInt(4) == 0 ? null : random(kernels, rows, columns, random);
            Tensor out = kernels.tensor(rows, columns);
            kernels.norm(NormKind.values()[random.nextInt(2)], 1e-3f, random(kernels, 1, columns, random), null, columns, addend, x, random.nextInt(rows + 1), out);
            float[] both = Arrays.copyOf(RandomData.values(kernels, out), 2 * rows * columns);
            System.arraycopy(RandomData.values(kernels, x), 0, both, rows * columns, rows * columns);
            return both;
        }, 40);
    }

    /** Rotation and the cache's writes at once, seen through attention over what was written. */
    @Test
    void rotatedKeysAreStored() {
        compare(Math.max(2e-5f, 4 * kvError()), (kernels, random) -> {
            Shape shape = Shape.random(random);
            int[][] blocks = shape.blocks(random);
            int dim = shape.spec.headDim();
            Batch batch = batch(shape, blocks, false);
            int pairs = 1 + random.nextInt(dim / 2);
            float[] frequencies = new float[pairs];
            for (int i = 0; i < pairs; i++) {
                frequencies[i] = (float) Math.pow(100, -(double) i / pairs);
            }
            try (KvCache cache = filled(kernels, shape, blocks, random);
                    RotaryTable table = random.nextInt(4) == 0 ? null : kernels.rotaryTable(frequencies, 1.1f, 100);
                    Tensor q = random(kernels, batch.rows(), shape.spec.heads() * dim, random);
                    Tensor k = random(kernels, batch.rows(), shape.spec.kvHeads() * dim, random);
                    Tensor v = random(kernels, batch.rows(), shape.spec.kvHeads() * dim, random);
                    Tensor out = kernels.tensor(batch.rows(), shape.spec.heads() * dim)) {
                kernels.rotateAndStore(table, random.nextBoolean(), q, k, v, dim, cache, 1, batch);
                kernels.attention(shape.spec, q, cache, 1, batch, out);
                float[] both = Arrays.copyOf(RandomData.values(kernels, q), 2 * batch.rows() * q.columns());
                System.arraycopy(RandomData.values(kernels, out), 0, both, both.length / 2, both.length / 2);
                return both;
            }
        }, 100);
    }

    @Test
    void rotaryAgreesWithTheReference() {
        compare(1e-5f, (kernels, random) -> {
            int pairs = upTo(random, 64);
            int dim = 2 * pairs + (random.nextBoolean() ? 0 : random.nextInt(20));
            int rows = upTo(random, 20);
            float[] frequencies = new float[pairs];
            for (int i = 0; i < pairs; i++) {
                frequencies[i] = (float) Math.pow(10000, -(double) i / pairs);
            }
            Tensor x = random(kernels, rows, dim * upTo(random, 9), random);
            int[] positions = random.ints(rows, 0, 500).toArray();
            try (RotaryTable table = kernels.rotaryTable(frequencies, random.nextBoolean() ? 1 : 1.2f, 500)) {
                kernels.rotary(table, random.nextBoolean(), x, rows - random.nextInt(2), dim, positions);
            }
            return RandomData.values(kernels, x);
        }, 60);
    }

    @ParameterizedTest
    @EnumSource(Activation.class)
    void activationsAgreeWithTheReference(Activation f) {
        compare(2e-6f, (kernels, random) -> {
            int rows = upTo(random, 20);
            int columns = upTo(random, 1600);
            float[] values = RandomData.gaussian(rows * columns, random);
            for (int i = 0; i < values.length; i++) {
                values[i] *= 4;
            }
            values[0] = 60;
            values[values.length - 1] = -120;
            Tensor gate = RandomData.tensor(kernels, rows, columns, values);
            Tensor up = random.nextBoolean() ? null : random(kernels, rows, columns, random);
            Tensor out = random.nextBoolean() ? gate : kernels.tensor(rows, columns);
            kernels.activate(f, gate, up, random.nextInt(rows + 1), out);
            return RandomData.values(kernels, out);
        }, 30);
    }

    @Test
    void sumsAndGathersAgreeWithTheReference() {
        compare(0, (kernels, random) -> {
            int rows = upTo(random, 30);
            int columns = upTo(random, 1600);
            Tensor x = random(kernels, rows, columns, random);
            kernels.add(x, random(kernels, rows, columns, random), random.nextInt(rows + 1));
            Tensor out = kernels.tensor(25, columns);
            kernels.gather(x, random.ints(25, 0, rows).toArray(), random.nextInt(26), out);
            return flat(List.of(RandomData.values(kernels, x), RandomData.values(kernels, out)));
        }, 40);
    }

    /** Row operations give a row the same bits whatever rows are with it: they are compared over all rows, one by one. */
    @Test
    void pointwiseRowsAreIndependent() {
        for (int seed = 0; seed < rounds(10); seed++) {
            Random random = new Random(seed);
            int rows = 50;
            int columns = 16 * upTo(random, 60);
            float[] input = RandomData.gaussian(rows * columns, random);
            int[] positions = random.ints(rows, 0, 100).toArray();
            float[] together = pointwise(many, input, rows, columns, positions);
            for (int r = 0; r < rows; r++) {
                float[] alone = pointwise(one, Arrays.copyOfRange(input, r * columns, (r + 1) * columns), 1, columns, new int[] {positions[r]});
                assertThat(alone).containsExactly(Arrays.copyOfRange(together, r * columns, (r + 1) * columns));
            }
        }
    }

    private static float[] pointwise(Kernels kernels, float[] input, int rows, int columns, int[] positions) {
        Tensor x = RandomData.tensor(kernels, rows, columns, input);
        kernels.norm(NormKind.RMS, 1e-5f, null, null, columns, x, rows, x);
        kernels.norm(NormKind.LAYER, 1e-5f, null, null, 16, x, rows, x);
        kernels.rotary(kernels.rotaryTable(new float[] {1, 0.3f, 0.01f}, 1, 100), false, x, rows, 16, positions);
        for (Activation f : Activation.values()) {
            kernels.activate(f, x, x, rows, x);
            kernels.add(x, x, rows);
        }
        return RandomData.values(kernels, x);
    }

    // ---- tokens

    /** Where a device chooses: what the rule of {@link Draw} gives, but for a draw so near an edge that rounding decides. */
    @Test
    void chosenTokensAreThoseOfTheRule() {
        for (int seed = 0; seed < rounds(60); seed++) {
            Random random = new Random(seed);
            int rows = upTo(random, 5);
            int vocabulary = upTo(random, 900);
            float[] values = RandomData.gaussian(rows * vocabulary, random);
            Draw[] draws = new Draw[rows];
            for (int i = 0; i < values.length; i++) {
                values[i] = random.nextInt(20) == 0 ? Float.NEGATIVE_INFINITY : Math.round(values[i] * 16) / 4f;
            }
            for (int r = 0; r < rows; r++) {
                values[r * vocabulary + random.nextInt(vocabulary)] = 9;
                draws[r] = random.nextInt(6) == 0 ? null : new Draw(random.nextInt(4) == 0 ? 0 : random.nextFloat() * 2 + 0.01f,
                        random.nextBoolean() ? 0 : upTo(random, vocabulary), random.nextBoolean() ? 1 : random.nextFloat(),
                        random.nextInt(3) > 0 ? 0 : random.nextFloat() * 0.2f, random.nextDouble());
            }
            for (Kernels kernels : List.of(one, many)) {
                int[] tokens = new int[rows];
                if (!kernels.sample(RandomData.tensor(kernels, rows, vocabulary, values), rows, draws, tokens)) {
                    continue;
                }
                for (int r = 0; r < rows; r++) {
                    if (draws[r] != null) {
                        float[] row = Arrays.copyOfRange(values, r * vocabulary, (r + 1) * vocabulary);
                        assertThat(tokens[r]).as("seed %d, %s", seed, draws[r]).isIn(DrawRule.tokens(row, draws[r]));
                    }
                }
            }
        }
    }

    @Test
    void noTokenIsChosenFromLogitsThatAreNone() {
        float[] values = {Float.NaN, 1, 2, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY, Float.NEGATIVE_INFINITY, 3, 1};
        int[] tokens = new int[4];
        Draw[] draws = {new Draw(1, 0, 1, 0, 0.5), new Draw(0, 0, 1, 0, 0.5), new Draw(1, 1, 0.5f, 0, 0.5), new Draw(0, 0, 1, 0, 0.5)};
        if (one.sample(RandomData.tensor(one, 4, 2, values), 4, draws, tokens)) {
            assertThat(tokens).containsExactly(-1, -1, -1, 0);
        }
    }

    // ---- errors

    @Test
    void shapesAreChecked() {
        try (Arena arena = Arena.ofShared()) {
            Random random = new Random(1);
            Weight w = one.weight(RandomData.matrix(arena, DType.F32, 4, 8, random));
            Weight table = one.rows(RandomData.matrix(arena, DType.F32, 4, 8, random));
            Tensor narrow = one.tensor(2, 3);
            Tensor wide = one.tensor(2, 8);
            assertThatThrownBy(() -> one.linear(narrow, 0, 1, List.of(new Projection(w, null, wide)))).isInstanceOf(IllegalArgumentException.class);
            assertThatThrownBy(() -> one.linear(wide, 0, 1, List.of(new Projection(w, null, narrow)))).isInstanceOf(IllegalArgumentException.class);
            assertThatThrownBy(() -> one.linear(wide, 1, 2, List.of(new Projection(w, null, wide))))
                    .isInstanceOf(IndexOutOfBoundsException.class);
            assertThatThrownBy(() -> one.embed(table, new int[] {4}, 1, 1, wide)).isInstanceOf(IndexOutOfBoundsException.class);
            assertThatThrownBy(() -> one.weight(RandomData.matrix(arena, DType.F32, 4, 8, random), new int[] {0, 4}))
                    .isInstanceOf(IllegalArgumentException.class);
        }
    }
}
