package dev.polyphon.server.cli.adapter;

import dev.polyphon.runtime.AdapterOperation;
import dev.polyphon.runtime.AdapterWeight;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code polyphon adapter svd}. */
@Command(name = "svd", mixinStandardHelpOptions = true,
        description = "Writes the best LoRA adapter of a rank, or of a share of the squared norm, for an adapter's changes of weights.")
final class SvdCommand extends Operation {
    @Mixin
    private FromTo paths;

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
    AdapterOperation operation() {
        return new AdapterOperation.Svd(new AdapterWeight(paths.adapter, 1, task), size.rank, size.energy);
    }

    @Override
    String to() {
        return paths.to;
    }
}
