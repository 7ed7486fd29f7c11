package dev.polyphon.server.kserve;

import com.fasterxml.jackson.core.JsonGenerator;
import com.google.protobuf.ByteString;
import com.google.protobuf.Descriptors.EnumValueDescriptor;
import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.MapEntry;
import com.google.protobuf.Message;
import java.io.IOException;
import java.util.Base64;
import java.util.List;

/**
 * Writes messages as the REST API has them: fields under their own names, numbers as numbers however large, and fields at their defaults as well, except
 * messages and choices that are not there.
 */
final class ProtoJson {
    private ProtoJson() {}

    static void write(JsonGenerator json, Message message) throws IOException {
        json.writeStartObject();
        for (FieldDescriptor field : message.getDescriptorForType().getFields()) {
            if (field.hasPresence() && !message.hasField(field)) {
                continue;
            }
            json.writeFieldName(field.getName());
            if (field.isMapField()) {
                map(json, (List<?>) message.getField(field));
            } else if (field.isRepeated()) {
                json.writeStartArray();
                for (Object element : (List<?>) message.getField(field)) {
                    value(json, element);
                }
                json.writeEndArray();
            } else {
                value(json, message.getField(field));
            }
        }
        json.writeEndObject();
    }

    private static void map(JsonGenerator json, List<?> entries) throws IOException {
        json.writeStartObject();
        for (Object entry : entries) {
            json.writeFieldName(String.valueOf(((MapEntry<?, ?>) entry).getKey()));
            value(json, ((MapEntry<?, ?>) entry).getValue());
        }
        json.writeEndObject();
    }

    private static void value(JsonGenerator json, Object value) throws IOException {
        switch (value) {
            case Message message -> write(json, message);
            case EnumValueDescriptor word -> json.writeString(word.getName());
            case ByteString bytes -> json.writeString(Base64.getEncoder().encodeToString(bytes.toByteArray()));
            default -> json.writeObject(value);
        }
    }
}
