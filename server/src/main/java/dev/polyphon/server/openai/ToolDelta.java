package dev.polyphon.server.openai;

import com.fasterxml.jackson.core.JsonGenerator;
import dev.polyphon.server.openai.tools.CallReader;
import dev.polyphon.server.openai.tools.Calls;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;

/** What a choice says, text and calls, since it was last written. */
final class ToolDelta implements Calls {
    private final CallReader reader;
    private final StringBuilder content = new StringBuilder();
    private final List<Piece> pieces = new ArrayList<>();

    /** More of a call; id and name are null but at its beginning. */
    private static final class Piece {
        final int index;
        final String id;
        final String name;
        final StringBuilder arguments = new StringBuilder();

        Piece(int index, String id, String name) {
            this.index = index;
            this.id = id;
            this.name = name;
        }
    }

    ToolDelta(Function<Calls, CallReader> readers) {
        reader = readers.apply(this);
    }

    /** Takes text of the model's; true when there is something to write. */
    boolean push(String text) {
        reader.push(text);
        return !content.isEmpty() || !pieces.isEmpty();
    }

    /** The model has ended. */
    void end() {
        reader.end();
    }

    /** Whether tools have been called. */
    boolean called() {
        return reader.calls() > 0;
    }

    @Override
    public void content(String text) {
        content.append(text);
    }

    @Override
    public void call(int index, String id, String name) {
        pieces.add(new Piece(index, id, name));
    }

    @Override
    public void arguments(int index, String piece) {
        if (pieces.isEmpty() || pieces.getLast().index != index) {
            pieces.add(new Piece(index, null, null));
        }
        pieces.getLast().arguments.append(piece);
    }

    /** Writes the fields of a chunk's delta. */
    void write(JsonGenerator json, boolean first) throws IOException {
        if (!content.isEmpty() || first && pieces.isEmpty()) {
            json.writeStringField("content", content.toString());
        }
        writeCalls(json, true);
        content.setLength(0);
        pieces.clear();
    }

    /** Writes the fields of a message that is whole. */
    void writeWhole(JsonGenerator json) throws IOException {
        json.writeStringField("content", content.isEmpty() && called() ? null : content.toString());
        writeCalls(json, false);
    }

    private void writeCalls(JsonGenerator json, boolean numbered) throws IOException {
        if (pieces.isEmpty()) {
            return;
        }
        json.writeArrayFieldStart("tool_calls");
        for (Piece piece : pieces) {
            json.writeStartObject();
            if (numbered) {
                json.writeNumberField("index", piece.index);
            }
            if (piece.id != null) {
                json.writeStringField("id", piece.id);
                json.writeStringField("type", "function");
            }
            json.writeObjectFieldStart("function");
            if (piece.name != null) {
                json.writeStringField("name", piece.name);
            }
            json.writeStringField("arguments", piece.arguments.toString());
            json.writeEndObject();
            json.writeEndObject();
        }
        json.writeEndArray();
    }
}
