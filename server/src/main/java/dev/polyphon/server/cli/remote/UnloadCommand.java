package dev.polyphon.server.cli.remote;

import dev.polyphon.client.PolyphonClient;
import java.io.IOException;
import java.io.PrintWriter;
import picocli.CommandLine.Command;
import picocli.CommandLine.Parameters;

/** {@code polyphon adapter unload}. */
@Command(name = "unload", mixinStandardHelpOptions = true, description = "Has a running server forget an adapter; its requests under way finish.")
public final class UnloadCommand extends Remote {
    @Parameters(paramLabel = "NAME", description = "What requests call it.")
    private String name;

    @Override
    void run(PolyphonClient client, PrintWriter out) throws IOException, InterruptedException {
        client.unloadAdapter(name);
        print(out, name + " is unloaded", JSON.createObjectNode().put("name", name).put("loaded", false));
    }
}
