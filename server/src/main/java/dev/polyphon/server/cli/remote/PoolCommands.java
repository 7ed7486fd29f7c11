package dev.polyphon.server.cli.remote;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polyphon.client.PolyphonClient;
import java.io.IOException;
import java.io.PrintWriter;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** Commands of {@code polyphon adapter} for operators, over the adapters of all owners. */
public final class PoolCommands {
    private static final String ALL = "/admin/v1/adapters";
    private static final int VERSION_SHOWN = 12;

    private PoolCommands() {}

    /** Adds them to a group. */
    public static CommandLine addTo(CommandLine group) {
        return group.addSubcommand(new Status()).addSubcommand(new Register()).addSubcommand(new Versions()).addSubcommand(new Change())
                .addSubcommand(new Delete()).addSubcommand(new Restore());
    }

    private static String encoded(String text) {
        return URLEncoder.encode(text, StandardCharsets.UTF_8).replace("+", "%20");
    }

    /** One that is about an adapter. */
    abstract static class OfOne extends Remote {
        @Parameters(paramLabel = "NAME", description = "What requests call it.")
        String name;

        @Option(names = "--owner", paramLabel = "TENANT", description = "Whose it is. Without it, a shared one is meant.")
        String owner;

        /** @param more segments behind the name, with their slash */
        String path(String more) {
            return ALL + "/" + encoded(name) + more + (owner == null ? "" : "?owner=" + encoded(owner));
        }
    }

    private static String mebibytes(JsonNode adapter) {
        return String.format(Locale.ROOT, "%.1f", adapter.path("bytes").asLong() / (double) (1 << 20));
    }

    /** The beginning of its hash; a dash while its files have not been read. */
    private static String version(JsonNode adapter) {
        String version = adapter.path("version").asText("");
        return version.isEmpty() ? "-" : version.substring(0, Math.min(version.length(), VERSION_SHOWN));
    }

    private static Table table(JsonNode adapters) {
        var table = new Table("NAME", "OWNER", "VERSION", "KIND", "TIER", "MIB", "PINNED", "SOURCE", "FAILURE");
        adapters.forEach(one -> table.row(one.path("name").asText(), one.path("owner").asText().isEmpty() ? "-" : one.path("owner").asText(), version(one),
                one.path("kind").asText("-"), one.has("deleted") ? "deleted" : one.path("tier").asText(), mebibytes(one), one.path("pinned").asText(),
                one.path("source").asText(), one.at("/failure/reason").asText()));
        return table;
    }

    private static ObjectNode labels(Map<String, String> labels) {
        ObjectNode json = Remote.JSON.createObjectNode();
        labels.forEach(json::put);
        return json;
    }

    /** {@code polyphon adapter status}. */
    @Command(name = "status", mixinStandardHelpOptions = true, sortOptions = false,
            description = "Shows where a running server's adapters are (registered, on disk, in memory, ...), and why they failed.")
    static final class Status extends Remote {
        @Parameters(paramLabel = "PREFIX", arity = "0..1", description = "Only those whose names begin so.")
        private String prefix = "";

        @Option(names = "--owner", paramLabel = "TENANT", description = "Only this one's.")
        private String owner;

        @Option(names = "--tier", paramLabel = "TIER", description = "Only those there; may be repeated.")
        private List<String> tiers = List.of();

        @Option(names = "--label", paramLabel = "KEY:VALUE", description = "Only those with this label; may be repeated.")
        private List<String> labels = List.of();

        @Option(names = "--failed", description = "Only those that failed.")
        private boolean failed;

        @Option(names = "--deleted", description = "Those that are out of service and can be restored.")
        private boolean deleted;

        @Option(names = "--limit", paramLabel = "N", description = "Most adapters (default: ${DEFAULT-VALUE}).")
        private int limit = 1000;

        @Override
        void run(PolyphonClient client, PrintWriter out) throws IOException, InterruptedException {
            ArrayNode all = JSON.createArrayNode();
            String next = "";
            while (next != null && all.size() < limit) {
                JsonNode page = client.admin("GET", query(Math.min(1000, limit - all.size()), next), null);
                page.path("data").forEach(all::add);
                next = page.path("next").textValue();
            }
            print(out, table(all).toString().stripTrailing() + (next == null ? "" : System.lineSeparator() + "and more: --limit"), all);
        }

        private String query(int size, String after) {
            var query = new StringBuilder(ALL + "?limit=" + size + "&prefix=" + encoded(prefix) + "&failed=" + failed + "&deleted=" + deleted);
            tiers.forEach(tier -> query.append("&tier=").append(encoded(tier)));
            labels.forEach(label -> query.append("&label=").append(encoded(label)));
            return query + (owner == null ? "" : "&owner=" + encoded(owner)) + (after.isEmpty() ? "" : "&after=" + encoded(after));
        }
    }

    /** {@code polyphon adapter register}. */
    @Command(name = "register", mixinStandardHelpOptions = true, sortOptions = false,
            description = "Has a running server know an adapter, which it fetches when a request asks for it.")
    static final class Register extends Remote {
        @Parameters(paramLabel = "NAME", description = "What requests call it.")
        private String name;

        @Parameters(paramLabel = "SOURCE", description = "Where it is: a folder as the server sees it, hf://ORGANISATION/NAME[@REVISION] or s3://BUCKET/PREFIX.")
        private String source;

        @Option(names = "--owner", paramLabel = "TENANT", description = "Whose it is. Without it, it is everyone's.")
        private String owner;

        @Option(names = "--base", paramLabel = "MODEL", description = "Its base, where the server has several.")
        private String base;

        @Option(names = "--version", paramLabel = "HASH", description = "The hash it must have.")
        private String version;

        @Option(names = "--label", paramLabel = "KEY=VALUE", description = "To find it by; may be repeated.")
        private Map<String, String> labels = Map.of();

        @Option(names = "--replace", description = "Makes it the new version of one that there is.")
        private boolean replace;

        @Option(names = "--load", description = "Loads it at once, and fails if that fails.")
        private boolean load;

        @Override
        void run(PolyphonClient client, PrintWriter out) throws IOException, InterruptedException {
            ObjectNode body = JSON.createObjectNode().put("name", name).put("source", source).put("owner", owner).put("base", base).put("version", version)
                    .put("replace", replace).put("load", load);
            body.set("labels", labels(labels));
            JsonNode adapter = client.admin("POST", ALL, body);
            print(out, name + " is " + (load ? "loaded" : "registered") + (version(adapter).equals("-") ? "" : ": version " + version(adapter)), adapter);
        }
    }

    /** {@code polyphon adapter versions}. */
    @Command(name = "versions", mixinStandardHelpOptions = true, description = "Lists an adapter's versions, the newest first.")
    static final class Versions extends OfOne {
        @Override
        void run(PolyphonClient client, PrintWriter out) throws IOException, InterruptedException {
            JsonNode versions = client.admin("GET", path("/versions"), null).path("data");
            var table = new Table("VERSION", "REGISTERED", "TIER", "MIB", "SOURCE");
            versions.forEach(one -> table.row(one.path("version").asText().isEmpty() ? "-" : one.path("version").asText(), Instant.ofEpochSecond(one.path("registered").asLong()).toString(), one.path("tier").asText(),
                    mebibytes(one), one.path("source").asText()));
            print(out, table.toString().stripTrailing(), versions);
        }
    }

    /** {@code polyphon adapter change}. */
    @Command(name = "change", mixinStandardHelpOptions = true, sortOptions = false, description = "Moves an adapter's name to another of its versions, keeps it in memory, or labels it.")
    static final class Change extends OfOne {
        @Option(names = "--to-version", paramLabel = "HASH", description = "The version that new requests get, as 'polyphon adapter versions' lists it.")
        private String version;

        @Option(names = "--pinned", arity = "1", paramLabel = "true|false", description = "Whether it stays in memory.")
        private Boolean pinned;

        @Option(names = "--label", paramLabel = "KEY=VALUE", description = "All labels that it is to have; may be repeated.")
        private Map<String, String> labels;

        @Override
        void run(PolyphonClient client, PrintWriter out) throws IOException, InterruptedException {
            ObjectNode body = JSON.createObjectNode().put("version", version).put("pinned", pinned);
            if (labels != null) {
                body.set("labels", labels(labels));
            }
            JsonNode adapter = client.admin("PATCH", path(""), body);
            print(out, table(JSON.createArrayNode().add(adapter)).toString().stripTrailing(), adapter);
        }
    }

    /** {@code polyphon adapter delete}. */
    @Command(name = "delete", mixinStandardHelpOptions = true, sortOptions = false, description = "Takes an adapter out of service; its requests under way finish, and 'restore' brings it back.")
    static final class Delete extends OfOne {
        @Option(names = "--purge", description = "For good, with its versions and what was uploaded for them.")
        private boolean purge;

        @Override
        void run(PolyphonClient client, PrintWriter out) throws IOException, InterruptedException {
            String path = path("");
            JsonNode answer = client.admin("DELETE", purge ? path + (owner == null ? "?" : "&") + "purge=true" : path, null);
            print(out, name + (purge ? " is deleted for good" : " is deleted, and can be restored"), answer);
        }
    }

    /** {@code polyphon adapter restore}. */
    @Command(name = "restore", mixinStandardHelpOptions = true, description = "Brings an adapter back that was deleted and not purged.")
    static final class Restore extends OfOne {
        @Override
        void run(PolyphonClient client, PrintWriter out) throws IOException, InterruptedException {
            JsonNode adapter = client.admin("POST", path("/restore"), JSON.createObjectNode());
            print(out, name + " is back: version " + version(adapter), adapter);
        }
    }
}
