package dev.polyphon.server.cli.remote;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polyphon.client.PolyphonClient;
import java.io.IOException;
import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.Locale;
import java.util.stream.Collectors;
import java.util.stream.StreamSupport;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;

/** Commands of {@code polyphon adapter} for adapters that a server merges while it serves them. */
public final class MergeCommands {
    private static final String ALL = "/admin/v1/merges";
    private static final int POLL_MILLIS = 100;

    private MergeCommands() {}

    /** A merge's adapters, as {@code merge-in} takes them. */
    private static String names(JsonNode merge) {
        return StreamSupport.stream(merge.path("adapters").spliterator(), false).map(one -> {
            double weight = one.path("weight").asDouble();
            return one.path("id").asText() + (weight == 1 ? "" : "=" + one.path("weight").asText());
        }).collect(Collectors.joining(" "));
    }

    /** {@code polyphon adapter merge-in}. */
    @Command(name = "merge-in", mixinStandardHelpOptions = true, description = "Has a running server merge an adapter, or a mix, into a copy of its base's weights: its "
            + "requests then need no computation beside the base's. (merge writes a model of its own.)")
    public static final class MergeIn extends Remote {
        @Parameters(paramLabel = "NAME[=WEIGHT]", arity = "1..*", description = "The adapter; several are one mix, by their weights.")
        private java.util.List<String> adapters;

        @Option(names = "--task", paramLabel = "NAME", description = "Which of a multi-task adapter's tasks.")
        private String task;

        @Option(names = "--owner", paramLabel = "TENANT", description = "Whose adapters these are (default: all tenants').")
        private String owner;

        @Option(names = "--no-wait", description = "Does not wait until it is merged.")
        private boolean noWait;

        @Override
        void run(PolyphonClient client, PrintWriter out) throws IOException, InterruptedException {
            ObjectNode request = JSON.createObjectNode().put("owner", owner);
            ArrayNode array = request.putArray("adapters");
            adapters.forEach(text -> add(array, text));
            JsonNode merge = client.admin("POST", ALL, request);
            String status = merge.path("status").asText();
            while (!noWait && (status.equals("queued") || status.equals("measuring") || status.equals("merging"))) {
                Thread.sleep(POLL_MILLIS);
                merge = client.admin("GET", ALL + "/" + merge.path("id").asText(), null);
                status = merge.path("status").asText();
            }
            if (merge.has("error")) {
                throw new IOException(names(merge) + " could not be merged: " + merge.at("/error/message").asText());
            }
            print(out, names(merge) + " is " + status + " (" + merge.path("id").asText() + ")", merge);
        }

        private void add(ArrayNode array, String text) {
            int equals = text.lastIndexOf('=');
            ObjectNode one = array.addObject().put("id", equals < 0 ? text : text.substring(0, equals)).put("task", task);
            if (equals >= 0) {
                try {
                    one.put("weight", Float.parseFloat(text.substring(equals + 1)));
                } catch (NumberFormatException e) {
                    throw new ParameterException(commandLine(), "a weight must be a number, found " + text.substring(equals + 1));
                }
            }
        }
    }

    /** {@code polyphon adapter unmerge}. */
    @Command(name = "unmerge", mixinStandardHelpOptions = true, description = "Has a running server give up a merged copy; requests that use it finish with it.")
    public static final class Unmerge extends Remote {
        @Parameters(paramLabel = "NAME|ID", arity = "1..*", description = "As 'polyphon adapter merges' lists it: its number, or the names of its adapters.")
        private java.util.List<String> wanted;

        @Override
        void run(PolyphonClient client, PrintWriter out) throws IOException, InterruptedException {
            String text = String.join(" ", wanted);
            var found = new ArrayList<JsonNode>();
            for (JsonNode merge : client.admin("GET", ALL, null).path("data")) {
                if (merge.path("id").asText().equals(text) || names(merge).equals(text) && !merge.path("status").asText().equals("unmerging")) {
                    found.add(merge);
                }
            }
            if (found.isEmpty()) {
                throw new IOException(text + " is not merged");
            }
            for (JsonNode merge : found) {
                JsonNode now = client.admin("DELETE", ALL + "/" + merge.path("id").asText(), null);
                int requests = now.path("requests").asInt();
                print(out, names(now) + " is unmerged" + (requests == 0 ? "" : "; " + requests + " requests finish with the copy"), now);
            }
        }
    }

    /** {@code polyphon adapter merges}. */
    @Command(name = "merges", mixinStandardHelpOptions = true, description = "Lists what a running server has merged, or changes what it merges by itself.")
    public static final class Merges extends Remote {
        @Option(names = "--mode", paramLabel = "MODE", description = "From now on: never, auto or pinned:NAME.")
        private String mode;

        @Override
        void run(PolyphonClient client, PrintWriter out) throws IOException, InterruptedException {
            JsonNode all = mode == null ? client.admin("GET", ALL, null) : client.admin("PATCH", ALL, JSON.createObjectNode().put("mode", mode));
            if (json) {
                out.println(JSON.writeValueAsString(all));
                return;
            }
            out.printf(Locale.ROOT, "mode %s, %.1f of %.1f MiB%n", all.path("mode").asText(), mebibytes(all, "bytes"), mebibytes(all, "budget"));
            var table = new Table("ID", "ADAPTERS", "OWNER", "STATUS", "CAUSE", "DONE", "MIB", "REQUESTS", "SAVES", "FAILURE");
            for (JsonNode merge : all.path("data")) {
                table.row(merge.path("id").asText(), names(merge), merge.path("owner").asText(), merge.path("status").asText(), merge.path("cause").asText(),
                        percent(merge, "progress"), String.format(Locale.ROOT, "%.1f", mebibytes(merge, "bytes")), merge.path("requests").asText(),
                        percent(merge, "saving"), merge.at("/error/message").asText());
            }
            out.print(table);
        }

        private static double mebibytes(JsonNode node, String field) {
            return node.path(field).asLong() / (double) (1 << 20);
        }

        private static String percent(JsonNode node, String field) {
            return node.has(field) ? String.format(Locale.ROOT, "%.0f %%", 100 * node.path(field).asDouble()) : "-";
        }
    }
}
