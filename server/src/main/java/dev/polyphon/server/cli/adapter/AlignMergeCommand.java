package dev.polyphon.server.cli.adapter;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polyphon.engine.adapter.AdapterFolder;
import dev.polyphon.engine.adapter.ops.AlignMerge;
import dev.polyphon.engine.adapter.ops.Progress;
import dev.polyphon.engine.adapter.ops.SavedAdapter;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Map;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code polyphon adapter align-merge}. */
@Command(name = "align-merge", mixinStandardHelpOptions = true,
        description = "Averages two adapters of one shape after bringing the second one's neurons into the order of the first's (MerA).")
final class AlignMergeCommand extends Operation {
    @Parameters(index = "0", paramLabel = "FIRST", description = "Folder of the first adapter.")
    private Path first;

    @Parameters(index = "1", paramLabel = "SECOND", description = "Folder of the second adapter.")
    private Path second;

    @Parameters(index = "2", paramLabel = "TO", description = "Folder to write; must not exist.")
    private Path to;

    @Option(names = "--sinkhorn", description = "Transport by Sinkhorn's algorithm instead of the exact assignment.")
    private boolean sinkhorn;

    @Option(names = "--weight", paramLabel = "SHARE", defaultValue = "0.5", description = "Weight of the first adapter (default: ${DEFAULT-VALUE}).")
    private double weight;

    @Override
    ObjectNode perform(Progress progress) throws IOException {
        SavedAdapter merged = AlignMerge.of(AdapterFolder.open(first), AdapterFolder.open(second), new AlignMerge.Options(sinkhorn, weight, Map.of()), progress);
        merged.save(to);
        return result().put("written", to.toString()).put("tensors", merged.tensors().size());
    }
}
