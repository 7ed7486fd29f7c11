package dev.polyphon.server.cli.remote;

import dev.polyphon.client.PolyphonClient;
import java.io.IOException;
import java.io.PrintWriter;
import picocli.CommandLine.Command;
import picocli.CommandLine.Parameters;

/** {@code polyphon adapter cancel}. */
@Command(name = "cancel", mixinStandardHelpOptions = true, description = "Ends an operation of a running server, which leaves nothing then.")
public final class CancelCommand extends Remote {
    @Parameters(paramLabel = "ID", description = "As 'polyphon adapter operations' lists it.")
    private String id;

    @Override
    void run(PolyphonClient client, PrintWriter out) throws IOException, InterruptedException {
        var operation = client.cancelOperation(id);
        print(out, id + (operation.ended() ? " is " + operation.status() : " will end at its next step"), operation);
    }
}
