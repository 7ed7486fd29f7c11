package dev.polyphon.engine.adapter.ops;

import dev.polyphon.engine.adapter.AdapterFolder;
import dev.polyphon.engine.adapter.PackedTensors;
import dev.polyphon.engine.model.Checkpoint;
import dev.polyphon.engine.weights.DType;
import dev.polyphon.engine.weights.Floats;
import dev.polyphon.engine.weights.TensorFile;
import dev.polyphon.engine.weights.TensorView;
import dev.polyphon.runtime.OperationProgress;
import java.io.IOException;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/** What an adapter's folder holds. */
public final class Inspect {
    private static final Set<DType> FLOATS = Set.of(DType.F64, DType.F32, DType.F16, DType.BF16);

    private Inspect() {}

    /**
     * @param kind {@code peft_type}, or that of AdapterHub's folders
     * @param tasks of which a request names one; empty for adapters of one task
     * @param ranks how many modules have which rank, for low-rank adapters
     * @param modules how many tensors there are by what their names end with, layer numbers left out
     * @param parameters stored values; of matrices that are pruned or of fewer bits, those that stand for their entries
     * @param bytes of the tensors
     * @param norm root of the sum of the squares of all entries
     * @param warnings sentences: what is odd about it, and may be meant
     */
    public record Report(String kind, List<String> tasks, Map<Integer, Integer> ranks, Map<String, Integer> modules, long parameters, long bytes, double norm,
            List<String> warnings) {}

    /**
     * Reads every tensor once.
     *
     * @param base null where there is none; it says how many layers there are
     */
    public static Report of(AdapterFolder folder, Checkpoint base, OperationProgress progress) throws IOException {
        Map<Integer, Integer> ranks = new TreeMap<>();
        Map<String, Integer> modules = new TreeMap<>();
        long parameters = 0;
        long bytes = 0;
        double squares = 0;
        List<String> warnings;
        try (TensorFile file = folder.openTensors()) {
            List<TensorView> tensors = new ArrayList<>(file.tensors());
            Set<String> pieces = new HashSet<>();
            for (PackedTensors.Packed packed : PackedTensors.of(file)) {
                pieces.addAll(packed.pieces());
                parameters += packed.parameters();
                squares += Math.pow(packed.matrix().norm(), 2);
                if (packed.name().endsWith(".lora_A")) {
                    ranks.merge(packed.matrix().rows(), 1, Integer::sum);
                }
            }
            for (int i = 0; i < tensors.size(); i++) {
                progress.at(i, tensors.size());
                TensorView tensor = tensors.get(i);
                bytes += tensor.data().byteSize();
                modules.merge(withoutNumbers(tensor.name()), 1, Integer::sum);
                if (pieces.contains(tensor.name())) {
                    continue;
                }
                parameters += tensor.elements();
                if (tensor.rank() == 2 && (tensor.name().contains(".lora_A.") || tensor.name().endsWith(".lora_A"))) {
                    ranks.merge(tensor.dim(0), 1, Integer::sum);
                }
                if (FLOATS.contains(tensor.dtype())) {
                    for (float value : Floats.all(tensor)) {
                        squares += (double) value * value;
                    }
                }
            }
            progress.at(tensors.size(), tensors.size());
            warnings = folder.warnings(tensors.stream().map(TensorView::name).toList(), base);
        }
        return new Report(folder.kind(), folder.tasks(), ranks, modules, parameters, bytes, Math.sqrt(squares), warnings);
    }

    private static String withoutNumbers(String name) {
        return name.replaceAll("\\.\\d+\\.", ".*.");
    }
}
