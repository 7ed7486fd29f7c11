package dev.polyphon.server.cli.adapter;

import dev.polyphon.runtime.AdapterOperation;
import java.util.List;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code polyphon adapter combine}. */
@Command(name = "combine", mixinStandardHelpOptions = true, description = "Makes one LoRA adapter of several, as PEFT's add_weighted_adapter does.")
final class CombineCommand extends Operation {
    @Parameters(paramLabel = "ADAPTER[=WEIGHT]", arity = "1..*", description = "Folders of adapters, each with its weight (default: 1).")
    private List<String> adapters;

    @Option(names = "--to", paramLabel = "FOLDER", required = true, description = "Folder to write; must not exist.")
    private String to;

    @Option(names = "--method", paramLabel = "NAME", defaultValue = "cat",
            description = "linear, cat, ties, dare_linear, dare_ties, magnitude_prune on A and B; svd, dare and ties_svd, dare_ties_svd, ... on the changes of "
                    + "weights (default: ${DEFAULT-VALUE}, the exact weighted sum).")
    private String method;

    @Option(names = "--density", paramLabel = "SHARE", defaultValue = "1", description = "Share of the entries that pruning methods keep.")
    private double density;

    @Option(names = "--majority-sign", paramLabel = "HOW", defaultValue = "total", description = "How TIES elects signs: total or frequency.")
    private String majority;

    @Option(names = "--rank", paramLabel = "N", defaultValue = "0", description = "Rank of the results of svd methods (default: the largest of the adapters).")
    private int rank;

    @Option(names = "--seed", paramLabel = "N", defaultValue = "0", description = "Seed of DARE's choice.")
    private long seed;

    @Override
    AdapterOperation operation() {
        return new AdapterOperation.Combine(Weighted.of(adapters, null), method, density, majority, rank, seed);
    }

    @Override
    String to() {
        return to;
    }
}
