package dev.polyphon.server.openai;

import com.fasterxml.jackson.core.JsonGenerator;
import dev.polyphon.runtime.AdapterInfo;
import dev.polyphon.runtime.AdapterPage;
import dev.polyphon.runtime.AdapterQuery;
import dev.polyphon.runtime.ModelInfo;
import dev.polyphon.runtime.Runtime;
import dev.polyphon.server.http.Exchange;
import dev.polyphon.server.http.Response;
import dev.polyphon.server.tenant.Caller;
import java.io.IOException;
import java.time.Instant;

/** {@code GET /v1/models} and {@code GET /v1/models/{id}}: bases first, then adapters, each with its base as {@code parent}. */
final class ModelsEndpoint {
    static final String ONE = "/v1/models/";
    private static final int PAGE = 1000;

    private final Runtime runtime;

    ModelsEndpoint(Runtime runtime) {
        this.runtime = runtime;
    }

    /** Runs apart from the event loop: adapters may be many. */
    void list(Exchange exchange) {
        Caller caller = Caller.of(exchange.caller());
        exchange.offload(() -> exchange.respond(list(caller)));
    }

    private Response list(Caller caller) {
        return Response.json(200, Json.bytes(json -> {
            json.writeStartObject();
            json.writeStringField("object", "list");
            json.writeArrayFieldStart("data");
            for (ModelInfo model : runtime.models()) {
                if (caller.mayUse(model.name())) {
                    write(json, model);
                }
            }
            AdapterQuery query = AdapterQuery.visibleTo(caller.tenantName(), PAGE);
            for (String next = ""; next != null;) {
                AdapterPage page = runtime.adapters().list(query);
                for (AdapterInfo adapter : page.adapters()) {
                    if (caller.mayUse(adapter.base())) {
                        write(json, adapter);
                    }
                }
                next = page.next();
                query = query.from(next);
            }
            json.writeEndArray();
            json.writeEndObject();
        }));
    }

    void one(Exchange exchange) {
        String id = exchange.request().path().substring(ONE.length());
        Caller caller = Caller.of(exchange.caller());
        var model = runtime.model(id).filter(one -> caller.mayUse(one.name()));
        var adapter = runtime.adapters().find(caller.tenantName(), id).filter(one -> caller.mayUse(one.base()));
        if (model.isPresent()) {
            exchange.respond(Response.json(200, Json.bytes(json -> write(json, model.get()))));
        } else if (adapter.isPresent()) {
            exchange.respond(Response.json(200, Json.bytes(json -> write(json, adapter.get()))));
        } else {
            exchange.respond(Targets.noSuch("model", id, "model", "model_not_found").error().response());
        }
    }

    private void write(JsonGenerator json, ModelInfo model) throws IOException {
        card(json, model.name(), model.loaded(), model.name(), null, model.contextLength());
    }

    private void write(JsonGenerator json, AdapterInfo adapter) throws IOException {
        int context = runtime.model(adapter.base()).map(ModelInfo::contextLength).orElse(0);
        card(json, adapter.name(), adapter.registered(), adapter.source().uri(), adapter.base(), context);
    }

    private static void card(JsonGenerator json, String id, Instant created, String root, String parent, int context) throws IOException {
        json.writeStartObject();
        json.writeStringField("id", id);
        json.writeStringField("object", "model");
        json.writeNumberField("created", created.getEpochSecond());
        json.writeStringField("owned_by", "polyphon");
        json.writeStringField("root", root);
        json.writeStringField("parent", parent);
        json.writeNumberField("max_model_len", context);
        json.writeEndObject();
    }
}
