package dev.polyphon.server;

import java.io.PrintWriter;
import java.io.StringWriter;
import picocli.CommandLine;

/** Runs commands of the program within a test. */
public final class CommandLines {
    private CommandLines() {}

    /** All commands. */
    public static CommandLine all() {
        return Main.commands();
    }

    /** What a command said, and its exit status. */
    public record Said(int status, String out, String err) {}

    public static Said run(String... arguments) {
        var out = new StringWriter();
        var err = new StringWriter();
        int status = Main.commands().setOut(new PrintWriter(out)).setErr(new PrintWriter(err)).execute(arguments);
        return new Said(status, out.toString(), err.toString());
    }
}
