package dev.polyphon.server.kserve;

import com.fasterxml.jackson.core.JsonGenerator;
import dev.polyphon.server.http.Exchange;
import dev.polyphon.server.http.Response;
import dev.polyphon.server.openai.ApiError;
import dev.polyphon.server.openai.Json;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufOutputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.util.Map;
import java.util.Set;

/** Answers by REST. */
abstract sealed class RestSender implements Sender {
    final Exchange exchange;

    private RestSender(Exchange exchange) {
        this.exchange = exchange;
    }

    @Override
    public void failed(ApiError error) {
        exchange.respond(error(error));
    }

    /** An error as the protocol has it: {@code {"error": "..."}}. */
    static Response error(ApiError error) {
        return error.response().withBody(Json.bytes(json -> write(json, error)));
    }

    private static void write(JsonGenerator json, ApiError error) throws IOException {
        json.writeStartObject();
        json.writeStringField("error", error.message());
        json.writeEndObject();
    }

    private static void head(JsonGenerator json, Result result) throws IOException {
        if (!result.id().isEmpty()) {
            json.writeStringField("id", result.id());
        }
        json.writeStringField("model_name", result.model());
        json.writeStringField("model_version", Models.VERSION);
    }

    private static void data(JsonGenerator json, Result.Output output) throws IOException {
        json.writeStartArray();
        for (Object value : output.data()) {
            json.writeObject(value);
        }
        json.writeEndArray();
    }

    /** {@code infer}: tensors, in JSON or behind it. */
    static final class Infer extends RestSender {
        /** Set before the inference starts. */
        Set<String> binary = Set.of();

        Infer(Exchange exchange) {
            super(exchange);
        }

        @Override
        public void send(Result result) {
            byte[] json = Json.bytes(out -> write(out, result));
            var body = new ByteArrayOutputStream();
            body.writeBytes(json);
            result.outputs().stream().filter(output -> binary.contains(output.name())).forEach(output -> body.writeBytes(output.raw().toByteArray()));
            boolean plain = body.size() == json.length;
            exchange.respond(new Response(200, plain ? Response.JSON : "application/octet-stream", body.toByteArray(),
                    plain ? Map.of() : Map.of(RestInput.JSON_LENGTH, Integer.toString(json.length))));
        }

        private void write(JsonGenerator json, Result result) throws IOException {
            json.writeStartObject();
            head(json, result);
            json.writeArrayFieldStart("outputs");
            for (Result.Output output : result.outputs()) {
                json.writeStartObject();
                json.writeStringField("name", output.name());
                json.writeStringField("datatype", output.datatype());
                json.writeArrayFieldStart("shape");
                json.writeNumber(output.data().size());
                json.writeEndArray();
                if (binary.contains(output.name())) {
                    json.writeObjectFieldStart("parameters");
                    json.writeNumberField("binary_data_size", output.raw().size());
                    json.writeEndObject();
                } else {
                    json.writeFieldName("data");
                    data(json, output);
                }
                json.writeEndObject();
            }
            json.writeEndArray();
            json.writeEndObject();
        }
    }

    /** {@code generate}: one object, outputs by name. */
    static final class Generated extends RestSender {
        Generated(Exchange exchange) {
            super(exchange);
        }

        @Override
        public void send(Result result) {
            exchange.respond(Response.json(200, Json.bytes(json -> byName(json, result))));
        }
    }

    /** {@code generate_stream}: such objects as server-sent events. */
    static final class Events extends RestSender {
        private boolean begun;

        Events(Exchange exchange) {
            super(exchange);
        }

        @Override
        public void send(Result result) {
            event(json -> byName(json, result));
            if (result.last()) {
                exchange.end();
            }
        }

        @Override
        public void failed(ApiError error) {
            if (begun) {
                event(json -> RestSender.write(json, error));
                exchange.end();
            } else {
                super.failed(error);
            }
        }

        private void event(Json.Writer data) {
            if (!begun) {
                begun = true;
                exchange.begin(200, "text/event-stream; charset=utf-8", Map.of("Cache-Control", "no-cache", "X-Accel-Buffering", "no"));
            }
            ByteBuf buffer = exchange.buffer();
            try {
                Json.to(new ByteBufOutputStream(buffer), json -> {
                    json.writeRaw("data: ");
                    data.write(json);
                    json.writeRaw("\n\n");
                });
            } catch (RuntimeException e) {
                buffer.release();
                throw e;
            }
            exchange.write(buffer);
        }
    }

    /** Outputs of one element are values, others lists. */
    private static void byName(JsonGenerator json, Result result) throws IOException {
        json.writeStartObject();
        head(json, result);
        for (Result.Output output : result.outputs()) {
            json.writeFieldName(output.name());
            if (output.data().size() == 1) {
                json.writeObject(output.data().getFirst());
            } else {
                data(json, output);
            }
        }
        json.writeEndObject();
    }
}
