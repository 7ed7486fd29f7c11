package dev.polyphon.server.cli.remote;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polyphon.client.PolyphonClient;
import java.io.IOException;
import java.io.PrintWriter;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code polyphon tenant}, with an operator's key. */
@Command(name = "tenant", mixinStandardHelpOptions = true, synopsisSubcommandLabel = "COMMAND", description = "Lists, makes, changes and deletes a server's tenants.",
        subcommands = {TenantCommands.List.class, TenantCommands.Show.class, TenantCommands.Create.class, TenantCommands.Change.class, TenantCommands.Delete.class})
public final class TenantCommands {
    private static final String ALL = "/admin/v1/tenants";

    private TenantCommands() {}

    /** The group itself, which only has commands below it. */
    public static TenantCommands group() {
        return new TenantCommands();
    }

    static String path(String tenant) {
        return ALL + "/" + tenant;
    }

    /** Fields of a tenant. A limit is a number, or {@code none}. */
    static final class Fields {
        @Option(names = "--rpm", paramLabel = "N", description = "Requests per minute.")
        private String requestsPerMinute;

        @Option(names = "--tpm", paramLabel = "N", description = "Tokens per minute, of prompts and outputs.")
        private String tokensPerMinute;

        @Option(names = "--tpd", paramLabel = "N", description = "Tokens per day (UTC).")
        private String tokensPerDay;

        @Option(names = "--concurrent", paramLabel = "N", description = "Requests under way at once.")
        private String concurrent;

        @Option(names = "--connections", paramLabel = "N", description = "Connections open at once.")
        private String connections;

        @Option(names = "--own-adapters", paramLabel = "N", description = "Adapters of its own.")
        private String adapters;

        @Option(names = "--adapter-bytes", paramLabel = "N", description = "Bytes that those may take.")
        private String adapterBytes;

        @Option(names = "--share", paramLabel = "X", description = "Its weight when the machine is short; 1 is usual.")
        private Double share;

        @Option(names = "--model", paramLabel = "PATTERN", description = "A base it may use, with * for any characters; may be repeated.")
        private java.util.List<String> models;

        @Option(names = "--adapter", paramLabel = "PATTERN", description = "A shared adapter it may use; may be repeated.")
        private java.util.List<String> allowed;

        @Option(names = "--default-adapter", paramLabel = "NAME", description = "What requests without a model get, or none.")
        private String defaultAdapter;

        @Option(names = "--enabled", arity = "1", paramLabel = "true|false", description = "Whether its keys open.")
        private Boolean enabled;

        ObjectNode json() throws IOException {
            ObjectNode json = Remote.JSON.createObjectNode();
            ObjectNode limits = Remote.JSON.createObjectNode();
            limit(limits, "requests_per_minute", requestsPerMinute);
            limit(limits, "tokens_per_minute", tokensPerMinute);
            limit(limits, "tokens_per_day", tokensPerDay);
            limit(limits, "concurrent_requests", concurrent);
            limit(limits, "connections", connections);
            limit(limits, "adapters", adapters);
            limit(limits, "adapter_bytes", adapterBytes);
            if (!limits.isEmpty()) {
                json.set("limits", limits);
            }
            if (share != null) {
                json.put("share", share);
            }
            if (models != null) {
                models.forEach(json.putArray("models")::add);
            }
            if (allowed != null) {
                allowed.forEach(json.putArray("adapters")::add);
            }
            if (defaultAdapter != null) {
                json.put("default_adapter", defaultAdapter.equals("none") ? null : defaultAdapter);
            }
            if (enabled != null) {
                json.put("enabled", enabled);
            }
            return json;
        }

        private static void limit(ObjectNode limits, String field, String text) throws IOException {
            if ("none".equals(text)) {
                limits.putNull(field);
            } else if (text != null) {
                if (!text.matches("\\d{1,16}")) {
                    throw new IOException("a limit is a number or none, found '" + text + "' for " + field);
                }
                limits.put(field, Long.parseLong(text));
            }
        }
    }

    /** JSON either way: on lines of their own for a person. */
    private static void show(Remote command, PrintWriter out, JsonNode tenant) throws IOException {
        command.print(out, Remote.JSON.writerWithDefaultPrettyPrinter().writeValueAsString(tenant), tenant);
    }

    @Command(name = "list", mixinStandardHelpOptions = true, description = "Lists all tenants.")
    static final class List extends Remote {
        @Override
        void run(PolyphonClient client, PrintWriter out) throws IOException, InterruptedException {
            JsonNode tenants = client.admin("GET", ALL, null).path("data");
            if (json) {
                out.println(JSON.writeValueAsString(tenants));
                return;
            }
            var table = new Table("NAME", "ENABLED", "SHARE", "REQUESTS/MIN", "TOKENS/MIN", "TOKENS/DAY", "TODAY", "CONCURRENT", "NOW");
            tenants.forEach(one -> table.row(one.path("name").asText(), one.path("enabled").asText(), one.path("share").asText(),
                    limit(one, "requests_per_minute"), limit(one, "tokens_per_minute"), limit(one, "tokens_per_day"), one.at("/now/tokens_today").asText(),
                    limit(one, "concurrent_requests"), one.at("/now/concurrent_requests").asText()));
            out.print(table);
        }

        private static String limit(JsonNode tenant, String name) {
            JsonNode limit = tenant.path("limits").path(name);
            return limit.isNull() ? "-" : limit.asText();
        }
    }

    @Command(name = "show", mixinStandardHelpOptions = true, description = "Shows all there is to know of a tenant, as JSON.")
    static final class Show extends Remote {
        @Parameters(paramLabel = "NAME")
        private String name;

        @Override
        void run(PolyphonClient client, PrintWriter out) throws IOException, InterruptedException {
            show(this, out, client.admin("GET", path(name), null));
        }
    }

    @Command(name = "create", mixinStandardHelpOptions = true, sortOptions = false, description = "Makes a tenant; 'polyphon key create' gives it a key.")
    static final class Create extends Remote {
        @Parameters(paramLabel = "NAME", description = "Of a-z, 0-9, '.', '_' and '-'.")
        private String name;

        @ArgGroup(exclusive = false)
        private Fields fields = new Fields();

        @Override
        void run(PolyphonClient client, PrintWriter out) throws IOException, InterruptedException {
            show(this, out, client.admin("POST", ALL, fields.json().put("name", name)));
        }
    }

    @Command(name = "change", mixinStandardHelpOptions = true, sortOptions = false, description = "Changes the fields that are named, and leaves the others.")
    static final class Change extends Remote {
        @Parameters(paramLabel = "NAME")
        private String name;

        @ArgGroup(exclusive = false)
        private Fields fields = new Fields();

        @Override
        void run(PolyphonClient client, PrintWriter out) throws IOException, InterruptedException {
            show(this, out, client.admin("PATCH", path(name), fields.json()));
        }
    }

    @Command(name = "delete", mixinStandardHelpOptions = true, description = "Deletes a tenant and all its keys. What it used stays on record.")
    static final class Delete extends Remote {
        @Parameters(paramLabel = "NAME")
        private String name;

        @Override
        void run(PolyphonClient client, PrintWriter out) throws IOException, InterruptedException {
            print(out, name + " is deleted", client.admin("DELETE", path(name), null));
        }
    }
}
