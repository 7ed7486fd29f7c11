package dev.polyphon.server.openapi;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.fasterxml.jackson.dataformat.yaml.YAMLMapper;
import dev.polyphon.server.http.Response;
import dev.polyphon.server.http.Router;
import java.io.IOException;
import java.io.UncheckedIOException;

/** {@code /openapi.json}: what stands in {@code openapi.yaml} beside this class, in the form of OpenAPI 3.1. */
public final class OpenApi {
    private OpenApi() {}

    public static void addTo(Router router) {
        Response document = document();
        router.get("/openapi.json", exchange -> exchange.respond(document));
    }

    private static Response document() {
        try (var in = OpenApi.class.getResourceAsStream("openapi.yaml")) {
            ObjectNode document = (ObjectNode) new YAMLMapper().readTree(in);
            return Response.json(200, new ObjectMapper().writeValueAsBytes(document));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
