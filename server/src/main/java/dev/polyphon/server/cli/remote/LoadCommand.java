package dev.polyphon.server.cli.remote;

import dev.polyphon.client.PolyphonClient;
import java.io.IOException;
import java.io.PrintWriter;
import picocli.CommandLine.Command;
import picocli.CommandLine.Parameters;

/** {@code polyphon adapter load}. */
@Command(name = "load", mixinStandardHelpOptions = true, description = "Has a running server load an adapter from a folder that it can read.")
public final class LoadCommand extends Remote {
    @Parameters(paramLabel = "NAME", description = "What requests call it.")
    private String name;

    @Parameters(paramLabel = "FOLDER", description = "Its folder, as the server sees it.")
    private String folder;

    @Override
    void run(PolyphonClient client, PrintWriter out) throws IOException, InterruptedException {
        client.loadAdapter(name, folder);
        print(out, name + " is loaded", JSON.createObjectNode().put("name", name).put("loaded", true));
    }
}
