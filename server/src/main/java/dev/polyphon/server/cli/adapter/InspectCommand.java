package dev.polyphon.server.cli.adapter;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polyphon.runtime.AdapterOperation;
import dev.polyphon.runtime.AdapterWeight;
import java.io.PrintWriter;
import java.util.TreeMap;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code polyphon adapter inspect}. */
@Command(name = "inspect", mixinStandardHelpOptions = true,
        description = "Shows an adapter's kind, ranks, size and norm; with a base, also that it fits and what it does at which sites.")
final class InspectCommand extends Operation {
    @Parameters(paramLabel = "ADAPTER", description = "Folder of the adapter.")
    private String adapter;

    @Option(names = "--task", paramLabel = "NAME", description = "Which of a multi-task adapter's tasks is looked at with the base (default: the first).")
    private String task;

    @Override
    AdapterOperation operation() {
        return new AdapterOperation.Inspect(new AdapterWeight(adapter, 1, task));
    }

    @Override
    String to() {
        return null;
    }

    @Override
    boolean needsBase() {
        return false;
    }

    @Override
    void tell(ObjectNode result, PrintWriter out) {
        JsonNode tensors = result.remove("tensors");
        JsonNode sites = result.remove("sites");
        JsonNode warnings = result.remove("warnings");
        super.tell(result, out);
        if (warnings != null) {
            warnings.forEach(warning -> out.println("warning: " + warning.asText()));
        }
        table("tensors", tensors, out);
        if (sites != null) {
            table("sites", sites, out);
        }
    }

    private static void table(String title, JsonNode counts, PrintWriter out) {
        out.println(title);
        new ObjectMapper().convertValue(counts, TreeMap.class).forEach((name, count) -> out.printf("  %-48s %s%n", name, count));
    }
}
