package dev.polyphon.server.cli.adapter;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polyphon.engine.adapter.AdapterFolder;
import dev.polyphon.engine.adapter.ops.Generate;
import dev.polyphon.engine.adapter.ops.Progress;
import dev.polyphon.engine.model.Checkpoint;
import java.io.IOException;
import java.nio.file.Path;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code polyphon adapter generate}. */
@Command(name = "generate", mixinStandardHelpOptions = true,
        description = "Writes what a hypernetwork generates for a task as an adapter of its own, in AdapterHub's format.")
final class GenerateCommand extends Operation {
    @Parameters(index = "0", paramLabel = "HYPERNETWORK", description = "Folder of the hypernetwork.")
    private Path folder;

    @Parameters(index = "1", paramLabel = "TO", description = "Folder to write; must not exist.")
    private Path to;

    @Mixin
    private BaseModel base;

    @Option(names = "--task", paramLabel = "NAME", required = true, description = "Task or language.")
    private String task;

    @Override
    ObjectNode perform(Progress progress) throws IOException {
        try (Checkpoint checkpoint = base.open()) {
            Generate.save(AdapterFolder.open(folder), task, checkpoint, to);
            return result().put("written", to.toString()).put("task", task);
        }
    }
}
