package dev.polyphon.server.cli.remote;

import com.fasterxml.jackson.databind.JsonNode;
import dev.polyphon.client.PolyphonClient;
import java.io.IOException;
import java.io.PrintWriter;
import java.time.Instant;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** {@code polyphon audit}, with an operator's key. */
@Command(name = "audit", mixinStandardHelpOptions = true, description = "Tells what operators did, the newest first.")
public final class AuditCommand extends Remote {
    @Option(names = "--limit", paramLabel = "N", description = "Most entries (default: ${DEFAULT-VALUE}).")
    private int limit = 100;

    @Override
    void run(PolyphonClient client, PrintWriter out) throws IOException, InterruptedException {
        JsonNode entries = client.admin("GET", "/admin/v1/audit?limit=" + limit, null).path("data");
        if (json) {
            out.println(JSON.writeValueAsString(entries));
            return;
        }
        var table = new Table("TIME", "TENANT", "KEY", "FROM", "STATUS", "ACTION");
        entries.forEach(entry -> table.row(Instant.ofEpochSecond(entry.path("time").asLong()).toString(), entry.path("tenant").asText(), entry.path("key").asText(),
                entry.path("remote").asText(), entry.path("status").asText(), entry.path("action").asText()));
        out.print(table);
    }
}
