package dev.polyphon.server.cli;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import dev.polyphon.server.tenant.Role;
import dev.polyphon.server.tenant.Store;
import dev.polyphon.server.tenant.Tenants;
import java.io.IOException;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** {@code polyphon key operator}: the first key, which no other can make. Whoever may write the store may do this, while no server has it. */
@Command(name = "operator", mixinStandardHelpOptions = true,
        description = "Makes an operator's key in the tenants' store of a server that does not run, and prints it, this once.")
public final class OperatorKeyCommand implements Callable<Integer> {
    private static final String TENANT = "operators";

    @Option(names = "--store", paramLabel = "DIR", required = true, description = "The folder of the setting tenants.store; made when there is none.")
    private Path store;

    @CommandLine.Spec
    private CommandLine.Model.CommandSpec spec;

    @Override
    public Integer call() throws IOException {
        try (Store open = Store.open(store)) {
            var tenants = new Tenants(open);
            if (tenants.find(TENANT).isEmpty()) {
                tenants.create(TENANT, JsonNodeFactory.instance.objectNode());
            }
            spec.commandLine().getOut().println(tenants.createKey(TENANT, Role.OPERATOR, "made on the command line", null).text());
            spec.commandLine().getOut().flush();
            return 0;
        }
    }
}
