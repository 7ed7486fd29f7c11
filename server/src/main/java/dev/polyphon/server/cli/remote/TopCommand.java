package dev.polyphon.server.cli.remote;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polyphon.client.Metrics;
import dev.polyphon.client.PolyphonClient;
import java.io.IOException;
import java.io.PrintWriter;
import java.util.Locale;
import java.util.Map;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** {@code polyphon top}. */
@Command(name = "top", mixinStandardHelpOptions = true, sortOptions = false,
        description = "Shows what a running server does now: its batch, its queue, its adapters and its tenants. Ctrl-C ends.")
public final class TopCommand extends Remote {
    private static final String CLEAR = "\033[H\033[2J";
    private static final String GENERATED = "polyphon_tenant_generated_tokens_total";

    @Option(names = "--interval", paramLabel = "SECONDS", description = "Time between two looks (default: ${DEFAULT-VALUE}).")
    private double interval = 2;

    @Option(names = "--count", paramLabel = "N", description = "Looks before it ends; 0 goes on (default: ${DEFAULT-VALUE}).")
    private int count;

    @Override
    void run(PolyphonClient client, PrintWriter out) throws IOException, InterruptedException {
        Metrics before = client.metrics();
        long last = System.nanoTime();
        for (int i = 0; count == 0 || i < count; i++) {
            Thread.sleep((long) (interval * 1000));
            Metrics now = client.metrics();
            long time = System.nanoTime();
            double seconds = (time - last) / 1e9;
            out.print(json ? object(before, now, seconds) + System.lineSeparator() : (onTerminal() ? CLEAR : "") + screen(before, now, seconds));
            out.flush();
            before = now;
            last = time;
        }
    }

    private static double rate(Metrics before, Metrics now, double seconds, String name, Map<String, String> labels) {
        return (now.sum(name, labels) - before.sum(name, labels)) / seconds;
    }

    private static ObjectNode object(Metrics before, Metrics now, double seconds) {
        ObjectNode state = JSON.createObjectNode();
        state.put("running", (int) now.sum("polyphon_sequences_running"))
                .put("waiting", (int) now.sum("polyphon_sequences_waiting"))
                .put("tokensPerSecond", rate(before, now, seconds, "polyphon_step_rows_total", Map.of("kind", "decode")))
                .put("promptTokensPerSecond", rate(before, now, seconds, "polyphon_step_rows_total", Map.of("kind", "prefill")))
                .put("kvBlocks", (int) now.sum("polyphon_kv_blocks"))
                .put("kvBlocksUsed", (int) now.sum("polyphon_kv_blocks_used"))
                .put("adaptersRegistered", (int) now.sum("polyphon_adapters_registered"))
                .put("adaptersLoaded", (int) now.sum("polyphon_adapters_loaded"))
                .put("adapterBytes", (long) now.sum("polyphon_adapters_loaded_bytes"));
        ObjectNode tenants = state.putObject("tenants");
        for (String tenant : now.values("polyphon_tenant_requests_running", "tenant")) {
            Map<String, String> label = Map.of("tenant", tenant);
            tenants.putObject(tenant)
                    .put("waiting", (int) now.sum("polyphon_tenant_requests_waiting", label))
                    .put("running", (int) now.sum("polyphon_tenant_requests_running", label))
                    .put("generatedTokens", (long) now.sum(GENERATED, label))
                    .put("tokensPerSecond", rate(before, now, seconds, GENERATED, label));
        }
        return state;
    }

    private static String screen(Metrics before, Metrics now, double seconds) {
        ObjectNode state = object(before, now, seconds);
        var summary = new Table("RUNNING", "WAITING", "TOKENS/S", "PROMPT/S", "KV CACHE", "ADAPTERS", "THEIR MEMORY");
        int blocks = state.path("kvBlocks").asInt();
        summary.row(state.path("running").asText(), state.path("waiting").asText(), oneDigit(state.path("tokensPerSecond").asDouble()),
                oneDigit(state.path("promptTokensPerSecond").asDouble()),
                blocks == 0 ? "-" : 100 * state.path("kvBlocksUsed").asInt() / blocks + " %",
                state.path("adaptersLoaded").asText() + " of " + state.path("adaptersRegistered").asText(),
                oneDigit(state.path("adapterBytes").asLong() / (double) (1 << 20)) + " MiB");
        var tenants = new Table("TENANT", "RUNNING", "WAITING", "TOKENS/S", "TOKENS");
        state.path("tenants").properties().forEach(tenant -> tenants.row(tenant.getKey(), tenant.getValue().path("running").asText(),
                tenant.getValue().path("waiting").asText(), oneDigit(tenant.getValue().path("tokensPerSecond").asDouble()),
                tenant.getValue().path("generatedTokens").asText()));
        return summary + System.lineSeparator() + tenants;
    }

    private static String oneDigit(double value) {
        return String.format(Locale.ROOT, "%.1f", value);
    }
}
