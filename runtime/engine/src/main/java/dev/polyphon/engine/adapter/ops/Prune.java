package dev.polyphon.engine.adapter.ops;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polyphon.engine.adapter.Matrix;
import dev.polyphon.engine.adapter.ops.LoraAdapter.Factors;
import dev.polyphon.engine.model.Checkpoint;
import dev.polyphon.engine.weights.DType;
import dev.polyphon.runtime.OperationProgress;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;

/** SparseAdapter (He et al. 2022): the entries of least magnitude of all an adapter's factors are dropped, and only the others are stored. */
public final class Prune {
    private Prune() {}

    /**
     * @param adapter what is left, entries that were dropped being 0
     * @param kept entries left
     * @param total entries before
     * @param saved for {@link SavedAdapter#save}: bit masks and the values kept
     */
    public record Result(LoraAdapter adapter, long kept, long total, SavedAdapter saved) {}

    /**
     * Large-Sparse: of an adapter of a larger rank so much is dropped that it is left with the parameters of a smaller one.
     *
     * @param rank the smaller one's
     * @return the share to drop, for {@link #of}
     */
    public static double largeSparse(LoraAdapter adapter, int rank) {
        long total = 0;
        long wanted = 0;
        for (Factors factors : adapter.modules().values()) {
            long perRank = factors.a().columns() + factors.b().rows();
            total += perRank * factors.rank();
            wanted += perRank * Math.min(rank, factors.rank());
        }
        return 1 - (double) wanted / total;
    }

    /**
     * Drops the smallest entries of all modules together.
     *
     * @param ratio share of the entries to drop, 0 to less than 1
     * @param base whose modules they are
     */
    public static Result of(LoraAdapter adapter, double ratio, Checkpoint base, OperationProgress progress) {
        if (!(ratio >= 0 && ratio < 1)) {
            throw new IllegalArgumentException("ratio must be 0 or more and less than 1, found " + ratio);
        }
        // B holds the scale. Magnitudes are compared across modules, so that both factors are brought to one norm first.
        Map<String, Factors> balanced = new java.util.TreeMap<>();
        adapter.modules().forEach((path, factors) -> balanced.put(path, balanced(factors)));
        List<Matrix> all = balanced.values().stream().flatMap(f -> java.util.stream.Stream.of(f.a(), f.b())).toList();
        long total = all.stream().mapToLong(m -> m.data().length).sum();
        float threshold = threshold(all, (long) (ratio * total));
        int rank = balanced.values().stream().mapToInt(Factors::rank).max().orElse(1);
        ObjectNode config = JsonNodeFactory.instance.objectNode();
        config.put("peft_type", "SPARSE_LORA").put("task_type", "CAUSAL_LM").put("r", rank).put("lora_alpha", rank).put("sparse_ratio", ratio);
        adapter.targets(base).forEach(config.putArray("target_modules")::add);
        SavedAdapter saved = new SavedAdapter(config);
        Map<String, Factors> pruned = new java.util.TreeMap<>();
        long kept = 0;
        int done = 0;
        for (Map.Entry<String, Factors> entry : balanced.entrySet()) {
            progress.at(done++, balanced.size());
            String stem = "base_model.model." + entry.getKey();
            Matrix a = above(entry.getValue().a(), threshold);
            Matrix b = above(entry.getValue().b(), threshold);
            kept += put(saved, stem + ".lora_A", a) + put(saved, stem + ".lora_B", b);
            pruned.put(entry.getKey(), new Factors(a, b));
        }
        progress.at(done, balanced.size());
        return new Result(new LoraAdapter(pruned), kept, total, saved);
    }

    private static Factors balanced(Factors factors) {
        double a = factors.a().norm();
        double b = factors.b().norm();
        if (a == 0 || b == 0) {
            return factors;
        }
        double factor = Math.sqrt(b / a);
        return new Factors(factors.a().times(factor), factors.b().times(1 / factor));
    }

    /** The largest magnitude that is dropped; negative when nothing is. */
    private static float threshold(List<Matrix> all, long drop) {
        if (drop == 0) {
            return -1;
        }
        float[] magnitudes = new float[Math.toIntExact(all.stream().mapToLong(m -> m.data().length).sum())];
        int at = 0;
        for (Matrix matrix : all) {
            for (float value : matrix.data()) {
                magnitudes[at++] = Math.abs(value);
            }
        }
        Arrays.parallelSort(magnitudes);
        return magnitudes[(int) drop - 1];
    }

    private static Matrix above(Matrix matrix, float threshold) {
        return Matrix.of(matrix.rows(), matrix.columns(), (r, c) -> Math.abs(matrix.at(r, c)) > threshold ? matrix.at(r, c) : 0);
    }

    private static int put(SavedAdapter saved, String name, Matrix matrix) {
        float[] data = matrix.data();
        byte[] mask = new byte[(data.length + 7) / 8];
        float[] values = new float[data.length];
        int kept = 0;
        for (int i = 0; i < data.length; i++) {
            if (data[i] != 0) {
                mask[i / 8] |= (byte) (1 << i % 8);
                values[kept++] = data[i];
            }
        }
        saved.put(name + ".mask", DType.U8, new long[] {mask.length}, mask);
        saved.put(name + ".values", new long[] {kept}, Arrays.copyOf(values, kept));
        saved.put(name + ".shape", new long[] {2}, matrix.rows(), matrix.columns());
        return kept;
    }

    /** The entries of largest magnitude, the others 0; of equal ones the earlier. */
    static Matrix largest(Matrix matrix, int count) {
        float[] data = matrix.data();
        float[] kept = new float[data.length];
        IntStream.range(0, data.length).boxed().sorted(Comparator.comparingDouble((Integer i) -> -Math.abs(data[i])))
                .limit(count).forEach(i -> kept[i] = data[i]);
        return new Matrix(matrix.rows(), matrix.columns(), kept);
    }
}
