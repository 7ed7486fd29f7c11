package dev.polyphon.server.openai;

import com.fasterxml.jackson.databind.JsonNode;
import dev.polyphon.runtime.AdapterWeight;
import java.util.List;
import java.util.Set;

/** The field {@code adapters}: those of a mix, each by its name or as an object with {@code id} and, if need be, {@code weight} and {@code task}. */
public final class AdapterFields {
    private static final Set<String> KNOWN = Set.of("id", "weight", "task");

    private AdapterFields() {}

    /** Reads them; none when the field is absent. */
    public static List<AdapterWeight> read(Fields fields, int most) {
        return fields.list("adapters", most, AdapterFields::one);
    }

    private static AdapterWeight one(String path, JsonNode value) {
        if (value.isTextual()) {
            return new AdapterWeight(value.textValue());
        }
        Fields fields = Fields.object(path, value).only(KNOWN);
        return new AdapterWeight(fields.requiredText("id"), (float) fields.decimal("weight", 1, -Float.MAX_VALUE, Float.MAX_VALUE), fields.text("task"));
    }
}
