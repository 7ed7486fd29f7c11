package dev.polyphon.measure;

import dev.polyphon.measure.kernels.KernelTable;
import dev.polyphon.measure.random.MakeAdapters;
import dev.polyphon.measure.random.MakeBase;
import dev.polyphon.measure.server.ServerTable;
import dev.polyphon.measure.step.FamilyTable;
import dev.polyphon.measure.step.StepProfile;
import picocli.CommandLine;
import picocli.CommandLine.Command;

/** {@code polyphon measure}. */
@Command(
        name = "polyphon measure",
        description = "Measures how fast this machine computes, and makes the random models and adapters for that.",
        mixinStandardHelpOptions = true,
        subcommands = {KernelTable.class, StepProfile.class, FamilyTable.class, ServerTable.class, MakeAdapters.class, MakeBase.class})
public final class Main {
    private Main() {}

    public static void main(String[] args) {
        System.exit(new CommandLine(new Main()).setUsageHelpAutoWidth(true).execute(args.length == 0 ? new String[] {"--help"} : args));
    }
}
