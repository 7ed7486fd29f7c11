package dev.polyphon.engine.adapter.ops;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polyphon.engine.adapter.AdapterFault;
import dev.polyphon.engine.adapter.AdapterFolder;
import dev.polyphon.engine.adapter.Matrix;
import dev.polyphon.engine.weights.DType;
import dev.polyphon.engine.weights.Floats;
import dev.polyphon.engine.weights.TensorView;
import dev.polyphon.runtime.OperationProgress;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/**
 * Smaller storage of an adapter's matrices: 8 bits with a scale for each row, or one bit with the two levels that leave the least squared error (Jie et
 * al. 2023). What is written is what the readers of LoRA and bottleneck adapters understand.
 */
public final class Quantize {
    private static final Set<String> KINDS = Set.of("LORA", "BOTTLENECK");
    private static final List<String> MATRICES = List.of(".lora_A.weight", ".lora_B.weight", ".adapter_down.weight", ".adapter_up.weight");

    private Quantize() {}

    /**
     * @param saved the smaller adapter
     * @param errors by matrix, relative to its norm
     * @param error of all matrices together
     */
    public record Result(SavedAdapter saved, Map<String, Double> errors, double error) {}

    /**
     * @param bits 8 or 1
     * @throws AdapterFault when the adapter is of a family that is not stored so
     */
    public static Result of(AdapterFolder folder, int bits, OperationProgress progress) throws IOException {
        if (bits != 8 && bits != 1) {
            throw new IllegalArgumentException("bits must be 8 or 1, found " + bits);
        }
        if (!KINDS.contains(folder.kind()) || folder.config().hasNonNull("quantization")) {
            throw new AdapterFault("adapters of kind " + folder.kind() + (folder.config().hasNonNull("quantization") ? ", quantised already," : "")
                    + " cannot be quantised; LORA and BOTTLENECK can");
        }
        for (String key : List.of("use_dora", "lora_bias")) {
            if (folder.config().path(key).asBoolean()) {
                throw new AdapterFault("an adapter with " + key + " cannot be quantised");
            }
        }
        String initialisation = folder.config().path("init_lora_weights").asText();
        if (initialisation.equals("pissa") || initialisation.equals("olora")) {
            throw new AdapterFault("an adapter that began with a part of the base (" + initialisation + ") must be converted first");
        }
        SavedAdapter from = SavedAdapter.read(folder);
        ObjectNode config = from.config().deepCopy();
        config.putObject("quantization").put("bits", bits);
        SavedAdapter to = new SavedAdapter(config);
        Map<String, Double> errors = new TreeMap<>();
        double lost = 0;
        double all = 0;
        int done = 0;
        for (TensorView tensor : new ArrayList<>(from.tensors().values())) {
            progress.at(done++, from.tensors().size());
            if (tensor.rank() != 2 || MATRICES.stream().noneMatch(tensor.name()::endsWith)) {
                to.put(tensor);
                continue;
            }
            Matrix matrix = new Matrix(tensor.dim(0), tensor.dim(1), Floats.all(tensor));
            String name = tensor.name().substring(0, tensor.name().length() - ".weight".length());
            Matrix stored = bits == 8 ? eightBits(to, name, matrix) : oneBit(to, name, matrix);
            double difference = stored.plus(matrix.times(-1)).norm();
            errors.put(name, matrix.norm() == 0 ? 0 : difference / matrix.norm());
            lost += difference * difference;
            all += matrix.norm() * matrix.norm();
        }
        progress.at(done, from.tensors().size());
        if (errors.isEmpty()) {
            throw new AdapterFault("the adapter has no matrices to quantise");
        }
        return new Result(to, errors, all == 0 ? 0 : Math.sqrt(lost / all));
    }

    private static Matrix eightBits(SavedAdapter to, String name, Matrix matrix) {
        byte[] codes = new byte[matrix.data().length];
        float[] scales = new float[matrix.rows()];
        for (int r = 0; r < matrix.rows(); r++) {
            float most = 0;
            for (int c = 0; c < matrix.columns(); c++) {
                most = Math.max(most, Math.abs(matrix.at(r, c)));
            }
            scales[r] = most / 127;
            for (int c = 0; c < matrix.columns(); c++) {
                codes[r * matrix.columns() + c] = (byte) (most == 0 ? 0 : Math.round(matrix.at(r, c) / scales[r]));
            }
        }
        to.put(name + ".codes", DType.I8, new long[] {matrix.rows(), matrix.columns()}, codes);
        to.put(name + ".scales", new long[] {matrix.rows()}, scales);
        return Matrix.of(matrix.rows(), matrix.columns(), (r, c) -> codes[r * matrix.columns() + c] * scales[r]);
    }

    /** The best two levels are the means of both sides of a cut through the sorted values: the cut that explains most of their spread. */
    private static Matrix oneBit(SavedAdapter to, String name, Matrix matrix) {
        float[] sorted = matrix.data().clone();
        Arrays.sort(sorted);
        double total = 0;
        for (float value : sorted) {
            total += value;
        }
        double best = -1;
        double low = total / sorted.length;
        double high = low;
        float threshold = sorted[sorted.length - 1];
        double sum = 0;
        for (int i = 1; i < sorted.length; i++) {
            sum += sorted[i - 1];
            double rest = total - sum;
            double explained = sum * sum / i + rest * rest / (sorted.length - i);
            if (sorted[i] > sorted[i - 1] && explained > best) {
                best = explained;
                low = sum / i;
                high = rest / (sorted.length - i);
                threshold = sorted[i - 1];
            }
        }
        float[] levels = {(float) low, (float) high};
        byte[] bits = new byte[(matrix.data().length + 7) / 8];
        float[] stored = new float[matrix.data().length];
        for (int i = 0; i < stored.length; i++) {
            boolean upper = matrix.data()[i] > threshold;
            bits[i / 8] |= (byte) (upper ? 1 << i % 8 : 0);
            stored[i] = levels[upper ? 1 : 0];
        }
        to.put(name + ".bits", DType.U8, new long[] {bits.length}, bits);
        to.put(name + ".levels", new long[] {2}, levels);
        to.put(name + ".shape", new long[] {2}, matrix.rows(), matrix.columns());
        return new Matrix(matrix.rows(), matrix.columns(), stored);
    }
}
