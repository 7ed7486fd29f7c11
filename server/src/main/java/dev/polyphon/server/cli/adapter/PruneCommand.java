package dev.polyphon.server.cli.adapter;

import dev.polyphon.runtime.AdapterOperation;
import dev.polyphon.runtime.AdapterWeight;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code polyphon adapter prune}. */
@Command(name = "prune", mixinStandardHelpOptions = true, description = "Drops the smallest entries of an adapter and stores only the others (SparseAdapter).")
final class PruneCommand extends Operation {
    @Mixin
    private FromTo paths;

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
    AdapterOperation operation() {
        return new AdapterOperation.Prune(new AdapterWeight(paths.adapter), amount.ratio, amount.rank);
    }

    @Override
    String to() {
        return paths.to;
    }
}
