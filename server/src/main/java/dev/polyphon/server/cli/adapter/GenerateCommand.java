package dev.polyphon.server.cli.adapter;

import dev.polyphon.runtime.AdapterOperation;
import dev.polyphon.runtime.AdapterWeight;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code polyphon adapter generate}. */
@Command(name = "generate", mixinStandardHelpOptions = true,
        description = "Writes what a hypernetwork generates for a task as an adapter of its own, in AdapterHub's format.")
final class GenerateCommand extends Operation {
    @Parameters(index = "0", paramLabel = "HYPERNETWORK", description = "Folder of the hypernetwork.")
    private String adapter;

    @Parameters(index = "1", paramLabel = "TO", description = "Folder to write; must not exist.")
    private String to;

    @Option(names = "--task", paramLabel = "NAME", required = true, description = "Task or language.")
    private String task;

    @Override
    AdapterOperation operation() {
        return new AdapterOperation.Generate(new AdapterWeight(adapter, 1, task));
    }

    @Override
    String to() {
        return to;
    }
}
