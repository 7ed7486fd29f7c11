package dev.polyphon.server.cli.remote;

import com.fasterxml.jackson.databind.JsonNode;
import dev.polyphon.client.PolyphonClient;
import java.io.IOException;
import java.io.PrintWriter;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** {@code polyphon usage}: of all tenants with an operator's key, of its own with a tenant's. */
@Command(name = "usage", mixinStandardHelpOptions = true, description = "Tells what was used: requests and tokens by period, tenant, model and adapter.")
public final class UsageCommand extends Remote {
    @Option(names = "--own", description = "What the key's own tenant used; needs no operator's key.")
    private boolean own;

    @Option(names = "--tenant", paramLabel = "NAME", description = "Only this one's.")
    private String tenant;

    @Option(names = "--from", paramLabel = "DAY", description = "From this day or time in UTC (default: 31 days before the end).")
    private String from;

    @Option(names = "--to", paramLabel = "DAY", description = "Up to this day or time in UTC (default: now).")
    private String to;

    @Option(names = "--period", paramLabel = "PERIOD", description = "hour, day, month or total (default: ${DEFAULT-VALUE}).")
    private String period = "day";

    @Override
    void run(PolyphonClient client, PrintWriter out) throws IOException, InterruptedException {
        String path = (own ? "/v1/usage" : "/admin/v1/usage") + "?period=" + encoded(period) + parameter("tenant", tenant) + parameter("from", from) + parameter("to", to);
        JsonNode usage = client.admin("GET", path, null).path("data");
        if (json) {
            out.println(JSON.writeValueAsString(usage));
            return;
        }
        var table = new Table("FROM", "TENANT", "MODEL", "ADAPTER", "REQUESTS", "PROMPT", "CACHED", "GENERATED", "SECONDS", "ESTIMATED");
        usage.forEach(line -> table.row(Instant.ofEpochSecond(line.path("period").asLong()).toString(), line.path("tenant").asText(), line.path("model").asText(),
                line.path("adapter").asText(), line.path("requests").asText(), line.path("prompt_tokens").asText(), line.path("cached_tokens").asText(),
                line.path("generated_tokens").asText(), Long.toString(line.path("milliseconds").asLong() / 1000), line.path("estimated_tokens").asText()));
        out.print(table);
    }

    private static String parameter(String name, String value) {
        return value == null ? "" : "&" + name + "=" + encoded(value);
    }

    private static String encoded(String value) {
        return URLEncoder.encode(value, StandardCharsets.UTF_8);
    }
}
