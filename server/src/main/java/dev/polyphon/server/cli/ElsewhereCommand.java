package dev.polyphon.server.cli;

import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Spec;
import picocli.CommandLine.Unmatched;

/** A command that is a program of its own: the launcher starts it instead of this one, which only has its name for helps and completions. */
@Command
public abstract sealed class ElsewhereCommand implements Callable<Integer> {
    @Spec
    private CommandSpec spec;

    @Unmatched
    private List<String> arguments;

    /** Reached without the launcher. */
    @Override
    public final Integer call() {
        spec.commandLine().getErr().println("polyphon: " + spec.name() + " is a program of its own, which the launcher starts: ./polyphon " + spec.name() + ", in a checkout");
        return CommandLine.ExitCode.USAGE;
    }

    /** {@code polyphon bench}. */
    @Command(name = "bench", description = "Puts load on a server, and reports its rates and times; see bench --help.")
    public static final class Bench extends ElsewhereCommand {}

    /** {@code polyphon measure}. */
    @Command(name = "measure", description = "Measures how fast this machine computes; see measure --help.")
    public static final class Measure extends ElsewhereCommand {}
}
