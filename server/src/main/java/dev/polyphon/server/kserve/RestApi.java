package dev.polyphon.server.kserve;

import com.google.protobuf.ByteString;
import com.google.protobuf.Message;
import dev.polyphon.kserve.proto.ModelInferRequest;
import dev.polyphon.kserve.proto.ModelRepositoryParameter;
import dev.polyphon.server.http.Exchange;
import dev.polyphon.server.http.Response;
import dev.polyphon.server.http.Router;
import dev.polyphon.server.openai.ApiError;
import dev.polyphon.server.openai.ApiException;
import dev.polyphon.server.openai.Json;
import dev.polyphon.server.tenant.Caller;
import java.util.HashMap;
import java.util.Map;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The REST API, {@code /v2}. A model's name may have slashes: it goes as far as the operation behind it. */
final class RestApi {
    private static final String MODELS = "/v2/models/";
    private static final String REPOSITORY = "/v2/repository/models/";
    private static final Pattern MODEL = Pattern.compile("(?<name>.+?)(?:/versions/(?<version>[^/]+))?(?:/(?<operation>infer|generate|generate_stream|ready|config|stats))?");
    private static final Pattern REPOSITORY_MODEL = Pattern.compile("(?<name>.+)/(?<operation>load|unload)");

    private final Models models;
    private final Inferences inferences;
    private final Statistics statistics;
    private final Repository repository;

    RestApi(Models models, Inferences inferences, Statistics statistics, Repository repository) {
        this.models = models;
        this.inferences = inferences;
        this.statistics = statistics;
        this.repository = repository;
    }

    void addTo(Router router) {
        router.get("/v2", exchange -> answer(exchange, models::server))
                .get("/v2/health/live", exchange -> exchange.respond(status(200)))
                .get("/v2/health/ready", exchange -> exchange.respond(status(models.ready() ? 200 : 503)))
                .get("/v2/models/stats", exchange -> answer(exchange, statistics::all))
                .get(MODELS + "*", this::ask)
                .post(MODELS + "*", this::infer)
                .post("/v2/repository/index", exchange -> exchange.offload(() -> index(exchange)))
                .post(REPOSITORY + "*", exchange -> exchange.offload(() -> change(exchange)))
                .get("/v2/*", RestApi::unknown)
                .post("/v2/*", RestApi::unknown);
        for (String memory : new String[] {"/v2/systemsharedmemory", "/v2/cudasharedmemory"}) {
            router.get(memory + "/status", exchange -> exchange.respond(Response.json(200, Json.bytes(json -> json.writeRaw("[]")))))
                    .post(memory + "/unregister", exchange -> exchange.respond(status(200)));
        }
    }

    private static Response status(int code) {
        return new Response(code, Response.TEXT, new byte[0], Map.of());
    }

    private static void unknown(Exchange exchange) {
        exchange.respond(RestSender.error(ApiError.transport(404, "Unknown request URL: " + exchange.request().method() + " " + exchange.request().path()
                + ". There is no such path on this server.")));
    }

    private static Matcher match(Pattern pattern, Exchange exchange, String prefix) {
        Matcher matcher = pattern.matcher(exchange.request().path().substring(prefix.length()));
        return matcher.matches() ? matcher : null;
    }

    private static String orEmpty(String text) {
        return text == null ? "" : text;
    }

    private void ask(Exchange exchange) {
        Matcher path = match(MODEL, exchange, MODELS);
        String name = path == null ? "" : path.group("name");
        String version = path == null ? "" : orEmpty(path.group("version"));
        switch (path == null ? "unknown" : orEmpty(path.group("operation"))) {
            case "" -> answer(exchange, () -> models.metadata(name, version, exchange));
            case "config" -> answer(exchange, () -> models.config(name, version, exchange).getConfig());
            case "stats" -> answer(exchange, () -> {
                models.require(name, version, exchange);
                return statistics.of(name);
            });
            case "ready" -> {
                try {
                    exchange.respond(status(models.ready(name, version, exchange) ? 200 : 503));
                } catch (ApiException e) {
                    exchange.respond(RestSender.error(e.error()));
                }
            }
            default -> unknown(exchange);
        }
    }

    private void infer(Exchange exchange) {
        Matcher path = match(MODEL, exchange, MODELS);
        String name = path == null ? "" : path.group("name");
        String version = path == null ? "" : orEmpty(path.group("version"));
        switch (path == null ? "unknown" : orEmpty(path.group("operation"))) {
            case "infer" -> {
                var sender = new RestSender.Infer(exchange);
                start(exchange, sender, "Several answers to one request need ModelStreamInfer of the gRPC API or 'generate_stream': 'stream' must be false.", () -> {
                    RestInput input = RestInput.read(name, version, exchange.request());
                    sender.binary = input.binary();
                    return input.message();
                });
            }
            case "generate" -> start(exchange, new RestSender.Generated(exchange), "'generate' gives one answer: use 'generate_stream', or set 'stream' to false.",
                    () -> RestInput.generate(name, version, exchange.request()));
            case "generate_stream" -> start(exchange, new RestSender.Events(exchange), null, () -> RestInput.generate(name, version, exchange.request()));
            default -> unknown(exchange);
        }
    }

    private void start(Exchange exchange, Sender sender, String single, Supplier<ModelInferRequest> request) {
        var call = inferences.call(exchange);
        if (exchange.request().body().length <= Inferences.INLINE) {
            inferences.start(call, exchange, request, sender, single);
        } else {
            exchange.offload(() -> inferences.start(call, exchange, request, sender, single));
        }
    }

    private void index(Exchange exchange) {
        answer(exchange, () -> repository.index(Caller.of(exchange.caller()), body(exchange).path("ready").asBoolean(false)), message -> Json.bytes(json -> {
            json.writeStartArray();
            for (var model : message.getModelsList()) {
                ProtoJson.write(json, model);
            }
            json.writeEndArray();
        }));
    }

    private static com.fasterxml.jackson.databind.node.ObjectNode body(Exchange exchange) {
        byte[] body = exchange.request().body();
        return body.length == 0 ? Json.MAPPER.createObjectNode() : Json.object(body, 0, body.length);
    }

    private void change(Exchange exchange) {
        Matcher path = match(REPOSITORY_MODEL, exchange, REPOSITORY);
        if (path == null) {
            unknown(exchange);
            return;
        }
        try {
            if (path.group("operation").equals("load")) {
                repository.load(Caller.of(exchange.caller()), path.group("name"), parameters(exchange));
            } else {
                repository.unload(Caller.of(exchange.caller()), path.group("name"));
            }
            exchange.respond(status(200));
        } catch (RuntimeException e) {
            exchange.respond(RestSender.error(Inferences.error(e, exchange.request())));
        }
    }

    private static Map<String, ModelRepositoryParameter> parameters(Exchange exchange) {
        var parameters = new HashMap<String, ModelRepositoryParameter>();
        body(exchange).path("parameters").properties().forEach(entry -> parameters.put(entry.getKey(), entry.getKey().startsWith("file:")
                ? ModelRepositoryParameter.newBuilder().setBytesParam(ByteString.EMPTY).build()
                : ModelRepositoryParameter.newBuilder().setStringParam(entry.getValue().asText()).build()));
        return parameters;
    }

    private static void answer(Exchange exchange, Supplier<? extends Message> message) {
        answer(exchange, message, found -> Json.bytes(json -> ProtoJson.write(json, found)));
    }

    private static <M extends Message> void answer(Exchange exchange, Supplier<M> message, Function<M, byte[]> writer) {
        try {
            exchange.respond(Response.json(200, writer.apply(message.get())));
        } catch (RuntimeException e) {
            exchange.respond(RestSender.error(Inferences.error(e, exchange.request())));
        }
    }
}
