package dev.polyphon.server.cli.adapter;

import dev.polyphon.runtime.AdapterOperation;
import dev.polyphon.runtime.AdapterWeight;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code polyphon adapter align-merge}. */
@Command(name = "align-merge", mixinStandardHelpOptions = true,
        description = "Averages two adapters of one shape after bringing the second one's neurons into the order of the first's (MerA).")
final class AlignMergeCommand extends Operation {
    @Parameters(index = "0", paramLabel = "FIRST", description = "Folder of the first adapter.")
    private String first;

    @Parameters(index = "1", paramLabel = "SECOND", description = "Folder of the second adapter.")
    private String second;

    @Parameters(index = "2", paramLabel = "TO", description = "Folder to write; must not exist.")
    private String to;

    @Option(names = "--sinkhorn", description = "Transport by Sinkhorn's algorithm instead of the exact assignment.")
    private boolean sinkhorn;

    @Option(names = "--weight", paramLabel = "SHARE", defaultValue = "0.5", description = "Weight of the first adapter (default: ${DEFAULT-VALUE}).")
    private double weight;

    @Option(names = "--calibration", paramLabel = "FILE", description = "Compare neurons by what they compute on these texts, not by their weights: one text a "
            + "line or, in a .jsonl file, an object a line with the field text or prompt, a string or token ids.")
    private Path calibration;

    @Override
    AdapterOperation operation() throws IOException {
        return new AdapterOperation.AlignMerge(new AdapterWeight(first), new AdapterWeight(second), sinkhorn, weight,
                calibration == null ? List.of() : CalibrationFile.read(calibration));
    }

    @Override
    String to() {
        return to;
    }

    @Override
    boolean needsBase() {
        return calibration != null;
    }
}
