package dev.polyphon.server.cli.adapter;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polyphon.engine.adapter.AdapterFolder;
import dev.polyphon.engine.adapter.AdapterPart;
import dev.polyphon.engine.adapter.LoadedAdapter;
import dev.polyphon.engine.adapter.ops.Merge;
import dev.polyphon.engine.adapter.ops.Progress;
import dev.polyphon.engine.backend.Kernels;
import dev.polyphon.engine.backend.cpu.CpuKernels;
import dev.polyphon.engine.model.Checkpoint;
import dev.polyphon.engine.weights.DType;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code polyphon adapter merge}. */
@Command(name = "merge", mixinStandardHelpOptions = true,
        description = "Folds adapters into the weights of their base and writes a model of its own, in the base's format: a Hugging Face folder or a GGUF file.")
final class MergeCommand extends Operation {
    @Parameters(paramLabel = "ADAPTER[=WEIGHT]", arity = "1..*", description = "Folder of the adapter; several are added up by their weights.")
    private List<String> adapters;

    @Option(names = "--to", paramLabel = "PATH", required = true, description = "Folder or file to write; must not exist.")
    private Path to;

    @Mixin
    private BaseModel base;

    @Option(names = "--task", paramLabel = "NAME", description = "Which of a multi-task adapter's tasks.")
    private String task;

    @Option(names = "--type", paramLabel = "TYPE", description = "F32, F16 or BF16 for all matrices (default: the base's; where a base is quantised, changed "
            + "matrices are kept in Q8_0 or F16).")
    private String type;

    @Override
    ObjectNode perform(Progress progress) throws IOException {
        try (Checkpoint checkpoint = base.open(); Kernels kernels = CpuKernels.open(1)) {
            List<AdapterPart> parts = new ArrayList<>();
            for (String adapter : adapters) {
                Weighted weighted = Weighted.of(adapter);
                parts.add(new AdapterPart(weighted.folder(), AdapterFolder.open(Path.of(weighted.folder())), task, (float) weighted.weight()));
            }
            try (LoadedAdapter adapter = AdapterFolder.load(parts, checkpoint, kernels)) {
                Merge.Result merged = Merge.write(adapter.weights(), checkpoint, kernels, type(), to, progress);
                return result().put("written", to.toString()).put("changed", merged.changed()).put("tensors", merged.tensors()).put("bytes", merged.bytes());
            }
        }
    }

    private DType type() {
        return switch (type) {
            case null -> null;
            case "F32", "f32" -> DType.F32;
            case "F16", "f16" -> DType.F16;
            case "BF16", "bf16" -> DType.BF16;
            default -> throw new IllegalArgumentException("--type must be F32, F16 or BF16, found " + type);
        };
    }
}
