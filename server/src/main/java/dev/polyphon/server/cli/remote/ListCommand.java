package dev.polyphon.server.cli.remote;

import dev.polyphon.client.Model;
import dev.polyphon.client.PolyphonClient;
import java.io.IOException;
import java.io.PrintWriter;
import java.util.List;
import picocli.CommandLine.Command;

/** {@code polyphon adapter list}. */
@Command(name = "list", mixinStandardHelpOptions = true, description = "Lists the models and adapters of a running server.")
public final class ListCommand extends Remote {
    @Override
    void run(PolyphonClient client, PrintWriter out) throws IOException, InterruptedException {
        List<Model> models = client.models();
        if (json) {
            out.println(JSON.writeValueAsString(models));
            return;
        }
        var table = new Table("NAME", "BASE", "CONTEXT");
        models.forEach(model -> table.row(model.id(), model.base() == null ? "-" : model.base(), Integer.toString(model.contextLength())));
        out.print(table);
    }
}
