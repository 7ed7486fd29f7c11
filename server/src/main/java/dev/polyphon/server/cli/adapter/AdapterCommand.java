package dev.polyphon.server.cli.adapter;

import picocli.CommandLine;
import picocli.CommandLine.Command;

/** {@code polyphon adapter}: what can be done with adapters besides serving them. */
@Command(name = "adapter", mixinStandardHelpOptions = true, synopsisSubcommandLabel = "COMMAND",
        description = "Inspects, converts, combines, merges and shrinks adapters.",
        subcommands = {InspectCommand.class, ConvertCommand.class, CombineCommand.class, SvdCommand.class, PruneCommand.class, QuantizeCommand.class,
            AlignMergeCommand.class, MergeCommand.class, GenerateCommand.class})
public final class AdapterCommand implements Runnable {
    @CommandLine.Spec
    private CommandLine.Model.CommandSpec spec;

    @Override
    public void run() {
        throw new CommandLine.ParameterException(spec.commandLine(), "a command is missing");
    }
}
