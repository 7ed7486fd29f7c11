package dev.polyphon.server.cli.remote;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polyphon.client.PolyphonClient;
import java.io.IOException;
import java.io.PrintWriter;
import java.time.Duration;
import java.time.Instant;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code polyphon key}, with an operator's key. */
@Command(name = "key", mixinStandardHelpOptions = true, synopsisSubcommandLabel = "COMMAND", description = "Lists, makes, rotates and revokes API keys.",
        subcommands = {KeyCommands.List.class, KeyCommands.Create.class, KeyCommands.Rotate.class, KeyCommands.Revoke.class})
public final class KeyCommands {
    private KeyCommands() {}

    /** The group itself, which only has commands below it. */
    public static KeyCommands group() {
        return new KeyCommands();
    }

    /** {@code 30s}, {@code 15m}, {@code 24h} or {@code 90d}, in seconds. */
    private static long seconds(String text) throws IOException {
        if (!text.matches("\\d{1,9}[smhd]")) {
            throw new IOException("a time is a number and s, m, h or d, for example 90d, found '" + text + "'");
        }
        long number = Long.parseLong(text.substring(0, text.length() - 1));
        return switch (text.charAt(text.length() - 1)) {
            case 's' -> number;
            case 'm' -> Duration.ofMinutes(number).toSeconds();
            case 'h' -> Duration.ofHours(number).toSeconds();
            default -> Duration.ofDays(number).toSeconds();
        };
    }

    /** The key alone on the output, so that it can be piped to where it belongs; what it is goes beside it. */
    private static void tell(Remote command, PrintWriter out, JsonNode key) throws IOException {
        if (command.json) {
            out.println(Remote.JSON.writeValueAsString(key));
            return;
        }
        PrintWriter err = command.err();
        err.println("key " + key.path("id").asText() + " of " + key.path("tenant").asText() + ", role " + key.path("role").asText() + "; it is shown this once:");
        err.flush();
        out.println(key.path("key").asText());
    }

    @Command(name = "list", mixinStandardHelpOptions = true, description = "Lists a tenant's keys.")
    static final class List extends Remote {
        @Parameters(paramLabel = "TENANT")
        private String tenant;

        @Override
        void run(PolyphonClient client, PrintWriter out) throws IOException, InterruptedException {
            JsonNode keys = client.admin("GET", TenantCommands.path(tenant) + "/keys", null).path("data");
            if (json) {
                out.println(JSON.writeValueAsString(keys));
                return;
            }
            var table = new Table("ID", "ROLE", "STATE", "CREATED", "EXPIRES", "LABEL");
            keys.forEach(key -> table.row(key.path("id").asText(), key.path("role").asText(), key.path("state").asText(), time(key.path("created")),
                    time(key.path("expires")), key.path("label").asText()));
            out.print(table);
        }

        private static String time(JsonNode seconds) {
            return seconds.isNull() ? "-" : Instant.ofEpochSecond(seconds.asLong()).toString();
        }
    }

    @Command(name = "create", mixinStandardHelpOptions = true, description = "Makes a key and prints it, this once.")
    static final class Create extends Remote {
        @Parameters(paramLabel = "TENANT")
        private String tenant;

        @Option(names = "--role", paramLabel = "ROLE", description = "tenant, monitor (reads metrics) or operator (default: ${DEFAULT-VALUE}).")
        private String role = "tenant";

        @Option(names = "--label", paramLabel = "TEXT", description = "What it is for.")
        private String label = "";

        @Option(names = "--expires-in", paramLabel = "TIME", description = "How long it opens, for example 90d (default: for ever).")
        private String life;

        @Override
        void run(PolyphonClient client, PrintWriter out) throws IOException, InterruptedException {
            ObjectNode body = JSON.createObjectNode().put("role", role).put("label", label);
            if (life != null) {
                body.put("expires_in", seconds(life));
            }
            tell(this, out, client.admin("POST", TenantCommands.path(tenant) + "/keys", body));
        }
    }

    @Command(name = "rotate", mixinStandardHelpOptions = true, description = "Makes a key in another's place and prints it, this once; the old one goes on to open for a while.")
    static final class Rotate extends Remote {
        @Parameters(paramLabel = "ID", description = "The old key's, as 'polyphon key list' shows it.")
        private String id;

        @Option(names = "--overlap", paramLabel = "TIME", description = "How long the old key opens (default: ${DEFAULT-VALUE}).")
        private String overlap = "24h";

        @Override
        void run(PolyphonClient client, PrintWriter out) throws IOException, InterruptedException {
            tell(this, out, client.admin("POST", "/admin/v1/keys/" + id + "/rotate", JSON.createObjectNode().put("overlap", seconds(overlap))));
        }
    }

    @Command(name = "revoke", mixinStandardHelpOptions = true, description = "Ends a key, at once and for good.")
    static final class Revoke extends Remote {
        @Parameters(paramLabel = "ID")
        private String id;

        @Override
        void run(PolyphonClient client, PrintWriter out) throws IOException, InterruptedException {
            print(out, id + " is revoked", client.admin("DELETE", "/admin/v1/keys/" + id, null));
        }
    }
}
