package dev.polyphon.server.cli.adapter;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polyphon.engine.adapter.ops.Combine;
import dev.polyphon.engine.adapter.ops.Progress;
import dev.polyphon.engine.model.Checkpoint;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code polyphon adapter combine}. */
@Command(name = "combine", mixinStandardHelpOptions = true, description = "Makes one LoRA adapter of several, as PEFT's add_weighted_adapter does.")
final class CombineCommand extends Operation {
    @Parameters(paramLabel = "ADAPTER[=WEIGHT]", arity = "1..*", description = "Folders of adapters, each with its weight (default: 1).")
    private List<String> adapters;

    @Option(names = "--to", paramLabel = "FOLDER", required = true, description = "Folder to write; must not exist.")
    private Path to;

    @Mixin
    private BaseModel base;

    @Option(names = "--method", paramLabel = "NAME", defaultValue = "cat",
            description = "linear, cat, ties, dare_linear, dare_ties, magnitude_prune on A and B; svd and ties_svd, ... on the changes of weights (default: "
                    + "${DEFAULT-VALUE}, the exact weighted sum).")
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
    ObjectNode perform(Progress progress) throws IOException {
        if (!majority.equals("total") && !majority.equals("frequency")) {
            throw new IllegalArgumentException("--majority-sign must be total or frequency, found " + majority);
        }
        Combine.Options options = new Combine.Options(Combine.Method.of(method), density, majority.equals("frequency"), rank, seed);
        try (Checkpoint checkpoint = base.open()) {
            List<Combine.Part> parts = new ArrayList<>();
            for (String adapter : adapters) {
                Weighted weighted = Weighted.of(adapter);
                parts.add(new Combine.Part(weighted.folder(), deltas(Path.of(weighted.folder()), null, checkpoint), weighted.weight()));
            }
            return write(Combine.of(parts, options, progress), checkpoint, to);
        }
    }
}
