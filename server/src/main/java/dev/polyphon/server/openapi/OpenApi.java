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
        router.get("/openapi.json", exchange -> exchange.offload(() -> exchange.respond(Document.JSON)));
    }

    /** Read when it is first asked for. */
    private static final class Document {
        static final Response JSON = read();
    }

    private static Response read() {
        try (var in = OpenApi.class.getResourceAsStream("openapi.yaml")) {
            ObjectNode document = (ObjectNode) new YAMLMapper().readTree(in);
            return Response.json(200, new ObjectMapper().writeValueAsBytes(document));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
