package dev.polyphon.server.cli;

import dev.polyphon.runtime.AdapterInfo;
import dev.polyphon.runtime.AdapterQuery;
import dev.polyphon.runtime.ModelInfo;
import dev.polyphon.runtime.Runtime;
import dev.polyphon.server.tenant.Tenancy;
import java.io.PrintStream;
import java.net.InetSocketAddress;
import java.util.List;
import java.util.stream.Collectors;

/** What a server says when it is up: where it is, what it serves, and what to try. */
final class Welcome {
    /** Names shown; more than a screenful tells nobody anything. */
    private static final int SHOWN = 12;

    private Welcome() {}

    static void print(PrintStream out, InetSocketAddress address, boolean tls, Runtime runtime, Tenancy tenancy) {
        boolean open = tenancy.tenants().isEmpty();
        String key = open ? "" : " -H \"Authorization: Bearer $POLYPHON_API_KEY\"";
        ModelInfo base = runtime.models().getFirst();
        List<AdapterInfo> adapters = runtime.adapters().list(AdapterQuery.all(SHOWN)).adapters();
        String shown = address.getAddress().isAnyLocalAddress() ? "localhost" : address.getHostString();
        String url = (tls ? "https://" : "http://") + (shown.contains(":") ? "[" + shown + "]" : shown) + ":" + address.getPort();
        String chatModel = adapters.isEmpty() ? base.name() : adapters.getFirst().name();
        out.println();
        out.println("Polyphon serves at " + url + "/v1");
        out.println("  base      " + base.name() + " (" + base.architecture() + ", context " + base.contextLength() + ")");
        out.println("  adapters  " + names(adapters, runtime.adapters().size()));
        out.println("  console   " + url + "/console");
        if (open && !address.getAddress().isLoopbackAddress()) {
            out.println("  WARNING   anyone who reaches this port may use the server and change its adapters: the setting tenants.store brings keys");
        }
        tenancy.tenants().ifPresent(tenants -> out.println("  tenants   " + tenants.all().size() + (tenants.hasOperator() ? ""
                : "; nobody can administer them: stop this, and make a key with ./polyphon key operator --store DIR")));
        out.println();
        out.println("Try:");
        out.println("  curl " + url + "/v1/models" + key);
        out.println("  curl " + url + "/v1/completions" + key + " -H 'Content-Type: application/json' "
                + "-d '{\"model\": \"" + base.name() + "\", \"prompt\": \"Once upon a time\", \"max_tokens\": 32}'");
        out.println("  curl -N " + url + "/v1/chat/completions" + key + " -H 'Content-Type: application/json' "
                + "-d '{\"model\": \"" + chatModel + "\", \"stream\": true, \"messages\": [{\"role\": \"user\", \"content\": \"What is the capital of France?\"}]}'");
        out.println();
        out.flush();
    }

    private static String names(List<AdapterInfo> adapters, int all) {
        if (adapters.isEmpty()) {
            return "none yet: --adapters DIR registers folders";
        }
        String first = adapters.stream().map(AdapterInfo::name).collect(Collectors.joining(", "));
        return all > adapters.size() ? first + " and " + (all - adapters.size()) + " more" : first;
    }
}
