package dev.polyphon.server.console;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import dev.polyphon.runtime.AdapterInfo;
import dev.polyphon.runtime.AdapterQuery;
import dev.polyphon.runtime.AdapterTier;
import dev.polyphon.runtime.Runtime;
import dev.polyphon.server.http.Exchange;
import dev.polyphon.server.http.Response;
import dev.polyphon.server.http.Router;
import dev.polyphon.server.tenant.Caller;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * {@code /console}: files that a browser runs as they are, without anything from elsewhere. They read {@code /metrics} and the OpenAI API as any
 * client does.
 */
public final class Console {
    /** Adapters listed of those in memory, and of the others; a page that shows more helps nobody. */
    private static final int LISTED = 250;

    private static final JsonFactory JSON = new JsonFactory();

    /** Nothing but what this server sends, no inline code, in no frame. */
    private static final Map<String, String> HEADERS = Map.of(
            "Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
                    + "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            "X-Content-Type-Options", "nosniff",
            "Referrer-Policy", "no-referrer",
            "Cache-Control", "no-cache");

    private static final Map<String, String> TYPES =
            Map.of("html", "text/html; charset=utf-8", "css", "text/css; charset=utf-8", "js", "text/javascript; charset=utf-8", "svg", "image/svg+xml");

    private final Runtime runtime;

    private Console(Runtime runtime) {
        this.runtime = runtime;
    }

    public static void addTo(Router router, Runtime runtime) {
        var console = new Console(runtime);
        Response page = file("index.html");
        router.get("/console", exchange -> exchange.respond(page)).get("/console/", exchange -> exchange.respond(page));
        for (String name : List.of("console.css", "console.js", "server.js", "playground.js", "plot.js", "icon.svg")) {
            Response file = file(name);
            router.get("/console/" + name, exchange -> exchange.respond(file));
        }
        router.get("/console/adapters", exchange -> exchange.offload(() -> console.adapters(exchange)));
    }

    private static Response file(String name) {
        try (var in = Console.class.getResourceAsStream(name)) {
            return new Response(200, TYPES.get(name.substring(name.lastIndexOf('.') + 1)), in.readAllBytes(), HEADERS);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** How many adapters there are, and some of them: those in memory before the others, each by name. */
    private void adapters(Exchange exchange) {
        String tenant = Caller.of(exchange.caller()).tenantName();
        var adapters = new ArrayList<AdapterInfo>();
        adapters.addAll(inTiers(tenant, EnumSet.range(AdapterTier.LOADED, AdapterTier.MERGED)));
        adapters.addAll(inTiers(tenant, EnumSet.range(AdapterTier.REGISTERED, AdapterTier.HOST)));
        var body = new ByteArrayOutputStream(4096);
        try (JsonGenerator json = JSON.createGenerator(body)) {
            json.writeStartObject();
            json.writeNumberField("total", Caller.of(exchange.caller()).operator() ? runtime.adapters().size() : adapters.size());
            json.writeArrayFieldStart("adapters");
            for (AdapterInfo adapter : adapters) {
                json.writeStartObject();
                json.writeStringField("name", adapter.name());
                json.writeStringField("kind", adapter.kind());
                json.writeStringField("tier", adapter.tier().text());
                json.writeBooleanField("loaded", adapter.loaded());
                json.writeNumberField("bytes", adapter.bytes());
                json.writeEndObject();
            }
            json.writeEndArray();
            json.writeEndObject();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        exchange.respond(Response.json(200, body.toByteArray()).with("Cache-Control", "no-store"));
    }

    private List<AdapterInfo> inTiers(String tenant, Set<AdapterTier> tiers) {
        return runtime.adapters().list(new AdapterQuery(tenant, null, "", Map.of(), tiers, false, false, LISTED, null)).adapters();
    }
}
