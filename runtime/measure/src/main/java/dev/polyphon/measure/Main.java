package dev.polyphon.measure;

import dev.polyphon.measure.gpu.GpuTable;
import dev.polyphon.measure.kernels.KernelTable;
import dev.polyphon.measure.random.MakeAdapters;
import dev.polyphon.measure.random.MakeBase;
import dev.polyphon.measure.server.ServerTable;
import dev.polyphon.measure.step.FamilyTable;
import dev.polyphon.measure.step.StepProfile;
import java.io.IOException;
import java.io.UncheckedIOException;
import picocli.CommandLine;
import picocli.CommandLine.Command;

/** {@code polyphon measure}. */
@Command(
        name = "polyphon measure",
        description = "Measures how fast this machine computes, and makes the random models and adapters for that.",
        mixinStandardHelpOptions = true,
        subcommands = {KernelTable.class, StepProfile.class, FamilyTable.class, GpuTable.class, ServerTable.class, MakeAdapters.class, MakeBase.class})
public final class Main {
    private Main() {}

    public static void main(String[] args) {
        System.exit(new CommandLine(new Main()).setUsageHelpAutoWidth(true).setExecutionExceptionHandler(Main::explain).execute(args.length == 0 ? new String[] {"--help"} : args));
    }

    /** What a user can put right is told in one line. */
    private static int explain(Exception failure, CommandLine command, CommandLine.ParseResult parsed) {
        switch (failure) {
            case UncheckedIOException e -> command.getErr().println("polyphon measure: " + e.getCause().getMessage());
            case IOException e -> command.getErr().println("polyphon measure: " + (e.getMessage() == null ? e : e.getMessage()));
            default -> failure.printStackTrace(command.getErr());
        }
        return CommandLine.ExitCode.SOFTWARE;
    }
}
