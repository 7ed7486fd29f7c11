package dev.polyphon.server.observe;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import dev.polyphon.server.http.Request;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.SpanContext;
import java.io.IOException;
import java.io.StringWriter;
import java.io.UncheckedIOException;
import java.time.Instant;
import java.util.Locale;
import java.util.Map;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** How each answer is logged: not at all, as a line to read, or as a line of JSON to be parsed. */
public enum AccessLog {
    OFF {
        @Override
        void answered(Request request, String route, Map<String, Object> notes, int status, long bytes, long nanos, boolean whole) {}
    },
    TEXT {
        @Override
        void answered(Request request, String route, Map<String, Object> notes, int status, long bytes, long nanos, boolean whole) {
            LINES.info("{} \"{}\" {} {} B {} ms{} {}", request.remote(), request.line(), status, bytes, String.format(Locale.ROOT, "%.1f", nanos / 1e6),
                    whole ? "" : " cut", request.id());
        }
    },
    JSON {
        @Override
        void answered(Request request, String route, Map<String, Object> notes, int status, long bytes, long nanos, boolean whole) {
            var line = new StringWriter(256);
            try (JsonGenerator json = FACTORY.createGenerator(line)) {
                json.writeStartObject();
                json.writeStringField("time", Instant.now().toString());
                json.writeStringField("requestId", request.id());
                json.writeStringField("remote", String.valueOf(request.remote()));
                json.writeStringField("method", request.method());
                json.writeStringField("path", request.path());
                json.writeStringField("route", route);
                json.writeNumberField("status", status);
                json.writeNumberField("bytes", bytes);
                json.writeNumberField("milliseconds", nanos / 1000 / 1e3);
                json.writeBooleanField("whole", whole);
                trace(json, request);
                for (var note : notes.entrySet()) {
                    json.writeFieldName(note.getKey());
                    write(json, note.getValue());
                }
                json.writeEndObject();
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
            OBJECTS.info("{}", line);
        }
    };

    private static final Logger LINES = LoggerFactory.getLogger("access");
    /** Written without the time and level that other messages begin with. */
    private static final Logger OBJECTS = LoggerFactory.getLogger("access.json");
    private static final JsonFactory FACTORY = new JsonFactory();

    private static void trace(JsonGenerator json, Request request) throws IOException {
        Traces.Traced own = Traces.Traced.of(request);
        if (own != null) {
            json.writeStringField("trace_id", own.span().getSpanContext().getTraceId());
            json.writeStringField("span_id", own.span().getSpanContext().getSpanId());
        }
        SpanContext caller = Span.fromContext(Traces.caller(request)).getSpanContext();
        if (caller.isValid()) {
            if (own == null) {
                json.writeStringField("trace_id", caller.getTraceId());
            }
            json.writeStringField("parent_span_id", caller.getSpanId());
        }
    }

    private static void write(JsonGenerator json, Object value) throws IOException {
        switch (value) {
            case Integer number -> json.writeNumber(number);
            case Long number -> json.writeNumber(number);
            case Double number -> json.writeNumber(number);
            case Boolean flag -> json.writeBoolean(flag);
            default -> json.writeString(String.valueOf(value));
        }
    }

    /** Logs an answer, as {@link dev.polyphon.server.http.HttpObserver#answered} tells of it. */
    abstract void answered(Request request, String route, Map<String, Object> notes, int status, long bytes, long nanos, boolean whole);
}
