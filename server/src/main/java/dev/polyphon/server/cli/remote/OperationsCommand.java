package dev.polyphon.server.cli.remote;

import dev.polyphon.client.Operation;
import dev.polyphon.client.PolyphonClient;
import java.io.IOException;
import java.io.PrintWriter;
import java.util.List;
import picocli.CommandLine.Command;

/** {@code polyphon adapter operations}. */
@Command(name = "operations", mixinStandardHelpOptions = true, description = "Lists a running server's operations on adapters: those that run, wait, or ended not long ago.")
public final class OperationsCommand extends Remote {
    @Override
    void run(PolyphonClient client, PrintWriter out) throws IOException, InterruptedException {
        List<Operation> operations = client.operations();
        if (json) {
            out.println(JSON.writeValueAsString(operations));
            return;
        }
        var table = new Table("ID", "OPERATION", "STATUS", "PROGRESS", "FAILURE");
        operations.forEach(one -> table.row(one.id(), one.kind(), one.status(), one.total() == 0 ? "-" : one.done() + "/" + one.total(),
                one.failure() == null ? "" : one.failure()));
        out.print(table);
    }
}
