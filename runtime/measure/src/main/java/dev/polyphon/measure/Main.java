package dev.polyphon.measure;

import dev.polyphon.measure.kernels.KernelTable;
import picocli.CommandLine;
import picocli.CommandLine.Command;

/** {@code polyphon measure}. */
@Command(
        name = "polyphon measure",
        description = "Measures how fast this machine computes, and makes the random models and adapters for that.",
        mixinStandardHelpOptions = true,
        subcommands = {KernelTable.class})
public final class Main {
    private Main() {}

    public static void main(String[] args) {
        System.exit(new CommandLine(new Main()).setUsageHelpAutoWidth(true).execute(args.length == 0 ? new String[] {"--help"} : args));
    }
}
