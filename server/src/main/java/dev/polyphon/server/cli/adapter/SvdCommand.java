package dev.polyphon.server.cli.adapter;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polyphon.engine.adapter.ops.Decompose;
import dev.polyphon.engine.adapter.ops.LoraAdapter;
import dev.polyphon.engine.adapter.ops.Progress;
import dev.polyphon.engine.model.Checkpoint;
import java.io.IOException;
import java.nio.file.Path;
import java.util.IntSummaryStatistics;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code polyphon adapter svd}. */
@Command(name = "svd", mixinStandardHelpOptions = true,
        description = "Writes the best LoRA adapter of a rank, or of a share of the squared norm, for an adapter's changes of weights.")
final class SvdCommand extends Operation {
    @Parameters(index = "0", paramLabel = "ADAPTER", description = "Folder of the adapter.")
    private Path folder;

    @Parameters(index = "1", paramLabel = "TO", description = "Folder to write; must not exist.")
    private Path to;

    @Option(names = "--base", paramLabel = "MODEL", required = true, description = "Its base: a Hugging Face folder or a GGUF file.")
    private Path base;

    @Option(names = "--task", paramLabel = "NAME", description = "Which of a multi-task adapter's tasks.")
    private String task;

    @ArgGroup(multiplicity = "1", exclusive = false)
    private Size size;

    /** How much is kept. */
    static final class Size {
        @Option(names = "--rank", paramLabel = "N", description = "Most rank of a module.")
        private int rank;

        @Option(names = "--energy", paramLabel = "SHARE", description = "Share of the squared norm that is enough.")
        private double energy = 1;
    }

    @Override
    ObjectNode perform(Progress progress) throws IOException {
        try (Checkpoint checkpoint = Checkpoint.open(base)) {
            return write(Decompose.of(deltas(folder, task, checkpoint), size.rank, size.energy, progress), checkpoint, to);
        }
    }

    static ObjectNode write(Decompose.Result found, Checkpoint base, Path to) throws IOException {
        ObjectNode result = write(found.adapter(), base, to);
        return result.put("largestError", found.errors().values().stream().mapToDouble(Double::doubleValue).max().orElse(0));
    }

    static ObjectNode write(LoraAdapter adapter, Checkpoint base, Path to) throws IOException {
        adapter.save(to, base);
        IntSummaryStatistics ranks = adapter.modules().values().stream().mapToInt(LoraAdapter.Factors::rank).summaryStatistics();
        return result().put("written", to.toString()).put("modules", adapter.modules().size()).put("leastRank", ranks.getMin())
                .put("mostRank", ranks.getMax());
    }
}
