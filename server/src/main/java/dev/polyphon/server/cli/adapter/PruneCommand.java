package dev.polyphon.server.cli.adapter;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polyphon.engine.adapter.ops.Decompose;
import dev.polyphon.engine.adapter.ops.LoraAdapter;
import dev.polyphon.engine.adapter.ops.Progress;
import dev.polyphon.engine.adapter.ops.Prune;
import dev.polyphon.engine.model.Checkpoint;
import java.io.IOException;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code polyphon adapter prune}. */
@Command(name = "prune", mixinStandardHelpOptions = true, description = "Drops the smallest entries of an adapter and stores only the others (SparseAdapter).")
final class PruneCommand extends Operation {
    @Mixin
    private FromTo paths;

    @Mixin
    private BaseModel base;

    @ArgGroup(multiplicity = "1")
    private Amount amount;

    /** How much is dropped. */
    static final class Amount {
        @Option(names = "--ratio", paramLabel = "SHARE", description = "Share of the entries to drop.")
        private Double ratio;

        @Option(names = "--as-rank", paramLabel = "N", description = "Leave as many entries as an adapter of this rank has (Large-Sparse).")
        private Integer rank;
    }

    @Override
    ObjectNode perform(Progress progress) throws IOException {
        try (Checkpoint checkpoint = base.open()) {
            LoraAdapter adapter = Decompose.of(deltas(paths.adapter, null, checkpoint), 0, 1, progress).adapter();
            double ratio = amount.ratio != null ? amount.ratio : Prune.largeSparse(adapter, amount.rank);
            Prune.Result pruned = Prune.of(adapter, ratio, progress);
            pruned.saved().save(paths.to);
            return result().put("written", paths.to.toString()).put("kept", pruned.kept()).put("of", pruned.total());
        }
    }
}
