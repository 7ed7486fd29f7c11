package dev.polyphon.server.openai;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polyphon.server.http.Request;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.util.Locale;

/** Reads and writes JSON. */
public final class Json {
    private static final JsonFactory FACTORY = JsonFactory.builder()
            .streamReadConstraints(StreamReadConstraints.builder()
                    .maxNestingDepth(64)
                    .maxNumberLength(64)
                    .maxStringLength(Integer.MAX_VALUE)
                    .build())
            .build();

    public static final ObjectMapper MAPPER =
            JsonMapper.builder(FACTORY).enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS).build();

    private Json() {}

    /** Writes something. */
    public interface Writer {
        void write(JsonGenerator json) throws IOException;
    }

    public static byte[] bytes(Writer writer) {
        var out = new ByteArrayOutputStream(512);
        to(out, writer);
        return out.toByteArray();
    }

    /** Writes to a stream in memory, which is left open. */
    public static void to(OutputStream out, Writer writer) {
        try (JsonGenerator json = FACTORY.createGenerator(out).disable(JsonGenerator.Feature.AUTO_CLOSE_TARGET)) {
            writer.write(json);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** The object in a request's body. */
    static ObjectNode object(Request request) {
        requireJson(request);
        return object(request.body(), 0, request.body().length);
    }

    /** The object that some bytes of a body are, or an {@link ApiException}. */
    public static ObjectNode object(byte[] body, int from, int length) {
        JsonNode node;
        try {
            node = MAPPER.readTree(body, from, length);
        } catch (JsonProcessingException e) {
            throw ApiException.invalid(null, "invalid_json", "We could not parse the JSON body of your request: " + where(e));
        } catch (IOException e) {
            throw ApiException.invalid(null, "invalid_json", "We could not parse the JSON body of your request: " + e.getMessage());
        }
        if (node instanceof ObjectNode object) {
            requireUnicode(object);
            return object;
        }
        throw ApiException.invalid(null, "invalid_json", "The body of the request must be a JSON object, but "
                + (node.isMissingNode() ? "it is empty." : "we got " + Fields.kind(node) + " instead."));
    }

    /** JSON can spell half a character (an unpaired surrogate, RFC 8259 section 8.2), which is no text and could be sent back to nobody. */
    private static void requireUnicode(JsonNode node) {
        if (node.isTextual() && !isUnicode(node.textValue())) {
            throw notUnicode();
        }
        if (node.isObject()) {
            node.properties().forEach(entry -> {
                if (!isUnicode(entry.getKey())) {
                    throw notUnicode();
                }
            });
        }
        node.forEach(Json::requireUnicode);
    }

    private static boolean isUnicode(String text) {
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            if (Character.isSurrogate(c)) {
                if (Character.isLowSurrogate(c) || i + 1 == text.length() || !Character.isLowSurrogate(text.charAt(i + 1))) {
                    return false;
                }
                i++;
            }
        }
        return true;
    }

    private static ApiException notUnicode() {
        return ApiException.invalid(null, "invalid_json", "We could not parse the JSON body of your request: a string holds an unpaired surrogate.");
    }

    private static String where(JsonProcessingException e) {
        var location = e.getLocation();
        return e.getOriginalMessage() + (location == null ? "" : " (line " + location.getLineNr() + ", column " + location.getColumnNr() + ")");
    }

    private static void requireJson(Request request) {
        String type = request.header("Content-Type");
        String bare = type == null ? "" : type.split(";", 2)[0].strip().toLowerCase(Locale.ROOT);
        if (!bare.equals("application/json")) {
            throw new ApiException(ApiError.of(415, ApiError.INVALID, "unsupported_content_type", "Unsupported content type: '"
                    + (type == null ? "" : type) + "'. This API method only accepts 'application/json' requests: set the header "
                    + "'Content-Type: application/json'."));
        }
    }
}
