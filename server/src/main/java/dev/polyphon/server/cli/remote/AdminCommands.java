package dev.polyphon.server.cli.remote;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polyphon.client.PolyphonClient;
import java.io.IOException;
import java.io.PrintWriter;
import java.time.Instant;
import java.util.Locale;
import java.util.stream.Collectors;
import java.util.stream.StreamSupport;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code polyphon admin}, with an operator's key where the server has tenants. */
@Command(name = "admin", mixinStandardHelpOptions = true, synopsisSubcommandLabel = "COMMAND", description = "Looks after a running server.",
        subcommands = {AdminCommands.Scheduler.class, AdminCommands.Status.class, AdminCommands.Drain.class, AdminCommands.Undrain.class, AdminCommands.LogLevel.class})
public final class AdminCommands {
    private static final String DRAIN = "/admin/v1/drain";
    private static final String LOG_LEVEL = "/admin/v1/log-level";
    private static final int POLL_MILLIS = 200;

    private AdminCommands() {}

    /** The group itself, which only has commands below it. */
    public static AdminCommands group() {
        return new AdminCommands();
    }

    /** {@code polyphon admin scheduler}. */
    @Command(name = "scheduler", mixinStandardHelpOptions = true, description = "Shows the batch, the queue, and what each tenant has had of the machine; the next in turn first.")
    static final class Scheduler extends Remote {
        @Option(names = "--limit", paramLabel = "N", description = "Most tenants (default: ${DEFAULT-VALUE}).")
        private int limit = 100;

        @Override
        void run(PolyphonClient client, PrintWriter out) throws IOException, InterruptedException {
            JsonNode state = client.admin("GET", "/admin/v1/scheduler?limit=" + limit, null);
            if (json) {
                out.println(JSON.writeValueAsString(state));
                return;
            }
            out.printf(Locale.ROOT, "%d running, %d waiting; KV cache: %d of %d blocks in use, %d kept for prefixes%n", state.path("running").asInt(), state.path("waiting").asInt(),
                    state.path("kv_blocks_used").asInt(), state.path("kv_blocks").asInt(), state.path("kv_blocks_cached").asInt());
            var table = new Table("TENANT", "ADAPTERS", "SHARE", "SERVED", "RUNNING", "WAITING");
            state.path("counters").forEach(one -> table.row(one.path("tenant").asText().isEmpty() ? "-" : one.path("tenant").asText(), adapters(one),
                    one.path("share").asText(), String.format(Locale.ROOT, "%.0f", one.path("served").asDouble()), one.path("running").asText(), one.path("waiting").asText()));
            out.print(table);
            int more = state.path("total").asInt() - state.path("counters").size();
            if (more > 0) {
                out.println("and " + more + " more");
            }
        }

        private static String adapters(JsonNode counter) {
            return counter.path("adapters").isEmpty() ? "-"
                    : StreamSupport.stream(counter.path("adapters").spliterator(), false).map(JsonNode::asText).collect(Collectors.joining("+"));
        }
    }

    private static void tell(Remote command, PrintWriter out, JsonNode drain) throws IOException {
        String state = drain.path("draining").asBoolean()
                ? "drained since " + Instant.ofEpochSecond(drain.path("since").asLong()) + ", refused requests are told to wait " + drain.path("retry_after").asLong() + " s"
                : "in service";
        command.print(out, state + "; " + drain.path("requests").asLong() + " requests under way", drain);
    }

    /** {@code polyphon admin status}. */
    @Command(name = "status", mixinStandardHelpOptions = true, description = "Tells whether a server takes requests, and how many are under way.")
    static final class Status extends Remote {
        @Override
        void run(PolyphonClient client, PrintWriter out) throws IOException, InterruptedException {
            tell(this, out, client.admin("GET", DRAIN, null));
        }
    }

    /** {@code polyphon admin drain}. */
    @Command(name = "drain", mixinStandardHelpOptions = true, sortOptions = false,
            description = "Takes a server out of service: it is not ready then and refuses new requests; those under way finish. 'polyphon admin undrain' takes that back.")
    static final class Drain extends Remote {
        @Option(names = "--retry-after", paramLabel = "SECONDS", description = "When refused requests are told to try again (default: ${DEFAULT-VALUE}).")
        private int retryAfter = 30;

        @Option(names = "--wait", description = "Waits until no request is under way.")
        private boolean wait;

        @Override
        void run(PolyphonClient client, PrintWriter out) throws IOException, InterruptedException {
            JsonNode drain = client.admin("POST", DRAIN, JSON.createObjectNode().put("retry_after", retryAfter));
            while (wait && drain.path("requests").asLong() > 0) {
                Thread.sleep(POLL_MILLIS);
                drain = client.admin("GET", DRAIN, null);
                if (!drain.path("draining").asBoolean()) {
                    throw new IOException("the server was put back into service meanwhile");
                }
            }
            tell(this, out, drain);
        }
    }

    /** {@code polyphon admin undrain}. */
    @Command(name = "undrain", mixinStandardHelpOptions = true, description = "Puts a drained server back into service.")
    static final class Undrain extends Remote {
        @Override
        void run(PolyphonClient client, PrintWriter out) throws IOException, InterruptedException {
            tell(this, out, client.admin("DELETE", DRAIN, null));
        }
    }

    /** {@code polyphon admin log-level}. */
    @Command(name = "log-level", mixinStandardHelpOptions = true, sortOptions = false, description = "Shows what a server logs, or changes it until the server ends.")
    static final class LogLevel extends Remote {
        private static final String INHERIT = "inherit";

        @Parameters(paramLabel = "LEVEL", arity = "0..1", description = "trace, debug, info, warn, error or off; " + INHERIT + " lets the logger that --logger names have that of the one above it.")
        private String level;

        @Option(names = "--logger", paramLabel = "NAME", description = "Only what this logger and those below it log: a class or package, for example dev.polyphon.engine.")
        private String logger;

        @Override
        void run(PolyphonClient client, PrintWriter out) throws IOException, InterruptedException {
            if (level == null && logger != null) {
                throw new IOException("--logger needs a LEVEL");
            }
            ObjectNode change = JSON.createObjectNode().put("level", INHERIT.equals(level) ? null : level).put("logger", logger);
            JsonNode levels = level == null ? client.admin("GET", LOG_LEVEL, null) : client.admin("PUT", LOG_LEVEL, change);
            if (json) {
                out.println(JSON.writeValueAsString(levels));
                return;
            }
            var table = new Table("LOGGER", "LEVEL");
            table.row("(all)", levels.path("level").asText());
            levels.path("loggers").forEach(one -> table.row(one.path("logger").asText(), one.path("level").asText()));
            out.print(table);
        }
    }
}
