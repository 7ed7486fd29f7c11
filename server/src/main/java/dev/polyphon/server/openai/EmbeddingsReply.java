package dev.polyphon.server.openai;

import com.fasterxml.jackson.core.JsonGenerator;
import dev.polyphon.runtime.FinishReason;
import dev.polyphon.runtime.TokenEvent;
import dev.polyphon.server.http.Exchange;
import dev.polyphon.server.http.Response;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/** Answers a request for embeddings, with all of them at the end. */
final class EmbeddingsReply implements Reply {
    private final Exchange exchange;
    private final Generate request;
    private final boolean base64;
    private final float[][] vectors;

    /** @param base64 whether vectors are written as their little-endian bytes, and not as numbers */
    EmbeddingsReply(Exchange exchange, Generate request, boolean base64) {
        this.exchange = exchange;
        this.request = request;
        this.base64 = base64;
        vectors = new float[request.prompts().size()][];
    }

    @Override
    public void token(int choice, TokenEvent event) {}

    @Override
    public void embedded(int choice, float[] values) {
        vectors[choice] = values;
    }

    @Override
    public void finished(int choice, String text, FinishReason reason) {}

    /** Many vectors are much to write, too much for the event loop. */
    @Override
    public void done(Usage usage) {
        exchange.offload(() -> exchange.respond(Response.json(200, Json.bytes(json -> write(json, usage)))));
    }

    private void write(JsonGenerator json, Usage usage) throws IOException {
        json.writeStartObject();
        json.writeStringField("object", "list");
        json.writeArrayFieldStart("data");
        for (int i = 0; i < vectors.length; i++) {
            json.writeStartObject();
            json.writeStringField("object", "embedding");
            json.writeNumberField("index", i);
            json.writeFieldName("embedding");
            write(json, vectors[i]);
            json.writeEndObject();
        }
        json.writeEndArray();
        json.writeStringField("model", request.target().requested());
        json.writeObjectFieldStart("usage");
        json.writeNumberField("prompt_tokens", usage.prompt());
        json.writeNumberField("total_tokens", usage.prompt());
        json.writeEndObject();
        json.writeEndObject();
    }

    private void write(JsonGenerator json, float[] vector) throws IOException {
        if (base64) {
            ByteBuffer bytes = ByteBuffer.allocate(vector.length * Float.BYTES).order(ByteOrder.LITTLE_ENDIAN);
            bytes.asFloatBuffer().put(vector);
            json.writeBinary(bytes.array());
            return;
        }
        json.writeStartArray();
        for (float value : vector) {
            json.writeNumber(value);
        }
        json.writeEndArray();
    }

    @Override
    public void failed(ApiError error) {
        exchange.respond((error.param() != null && error.param().equals("prompt") ? error.at("input") : error).response());
    }

    @Override
    public boolean flush() {
        return true;
    }
}
