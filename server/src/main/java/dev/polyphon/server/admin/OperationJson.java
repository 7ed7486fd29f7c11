package dev.polyphon.server.admin;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polyphon.runtime.AdapterOperation;
import dev.polyphon.runtime.AdapterOperation.AlignMerge;
import dev.polyphon.runtime.AdapterOperation.Combine;
import dev.polyphon.runtime.AdapterOperation.Convert;
import dev.polyphon.runtime.AdapterOperation.Generate;
import dev.polyphon.runtime.AdapterOperation.Inspect;
import dev.polyphon.runtime.AdapterOperation.Merge;
import dev.polyphon.runtime.AdapterOperation.Prune;
import dev.polyphon.runtime.AdapterOperation.Quantize;
import dev.polyphon.runtime.AdapterOperation.Svd;
import dev.polyphon.runtime.AdapterWeight;
import dev.polyphon.runtime.Prompt;
import dev.polyphon.server.openai.AdapterFields;
import dev.polyphon.server.openai.ApiException;
import dev.polyphon.server.openai.Fields;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;

/** How operations on adapters are written: as the admin API takes them. */
public final class OperationJson {
    private static final int MOST_ADAPTERS = 64;
    private static final int MOST_RANK = 1 << 16;
    private static final Set<String> COMMON = Set.of("operation", "owner", "to", "replace", "labels");

    /** The fields of each operation besides those of all. */
    private static final Map<String, Set<String>> FIELDS = Map.of(
            "inspect", Set.of("adapter", "task"),
            "convert", Set.of("adapter", "task"),
            "combine", Set.of("adapters", "method", "density", "majority_sign", "rank", "seed"),
            "svd", Set.of("adapter", "task", "rank", "energy"),
            "prune", Set.of("adapter", "task", "ratio", "as_rank"),
            "quantize", Set.of("adapter", "bits"),
            "align_merge", Set.of("first", "second", "sinkhorn", "weight", "calibration"),
            "merge", Set.of("adapters", "type"),
            "generate", Set.of("adapter", "task"));

    private OperationJson() {}

    /** The name of an operation's kind. */
    public static String kind(AdapterOperation operation) {
        return switch (operation) {
            case Inspect _ -> "inspect";
            case Convert _ -> "convert";
            case Combine _ -> "combine";
            case Svd _ -> "svd";
            case Prune _ -> "prune";
            case Quantize _ -> "quantize";
            case AlignMerge _ -> "align_merge";
            case Merge _ -> "merge";
            case Generate _ -> "generate";
        };
    }

    /**
     * Reads one, or throws an {@link ApiException} that names the field.
     *
     * @param calibrationTokens how many tokens texts to calibrate on may have, which is the most texts there can be
     */
    static AdapterOperation read(Fields fields, int calibrationTokens) {
        String kind = fields.requiredText("operation");
        Set<String> known = FIELDS.get(kind);
        if (known == null) {
            throw ApiException.invalid("operation", "invalid_value", "There is no operation '" + kind + "'. There are: "
                    + String.join(", ", new TreeSet<>(FIELDS.keySet())) + ".");
        }
        Set<String> all = new TreeSet<>(COMMON);
        all.addAll(known);
        fields.only(all);
        return switch (kind) {
            case "inspect" -> new Inspect(adapter(fields));
            case "convert" -> new Convert(adapter(fields));
            case "combine" -> new Combine(adapters(fields), text(fields, "method", "cat"), fields.decimal("density", 1, 0, 1),
                    text(fields, "majority_sign", "total"), fields.integer("rank", 0, 0, MOST_RANK), fields.integer("seed", 0L, Long.MIN_VALUE, Long.MAX_VALUE));
            case "svd" -> new Svd(adapter(fields), fields.integer("rank", 0, 0, MOST_RANK), fields.decimal("energy", 1, 0, 1));
            case "prune" -> new Prune(adapter(fields), fields.get("ratio").isEmpty() ? null : fields.decimal("ratio", 0, 0, 1),
                    fields.get("as_rank").isEmpty() ? null : fields.integer("as_rank", 1, 1, MOST_RANK));
            case "quantize" -> new Quantize(adapter(fields), fields.integer("bits", 8, 1, 8));
            case "align_merge" -> new AlignMerge(named(fields, "first"), named(fields, "second"), fields.flag("sinkhorn", false),
                    fields.decimal("weight", 0.5, 0, 1), fields.list("calibration", calibrationTokens, OperationJson::prompt));
            case "merge" -> new Merge(adapters(fields), fields.text("type"));
            case "generate" -> new Generate(adapter(fields));
            default -> throw new IllegalStateException(kind);
        };
    }

    private static String text(Fields fields, String name, String absent) {
        String text = fields.text(name);
        return text == null ? absent : text;
    }

    private static AdapterWeight named(Fields fields, String name) {
        return new AdapterWeight(fields.requiredText(name));
    }

    private static AdapterWeight adapter(Fields fields) {
        return new AdapterWeight(fields.requiredText("adapter"), 1, fields.text("task"));
    }

    /** A text, or its token ids. */
    public static Prompt prompt(String path, JsonNode value) {
        if (value.isTextual()) {
            return new Prompt.Text(value.textValue(), true);
        }
        if (!value.isArray()) {
            throw Fields.wrongType(path, "a string or an array of token ids", value);
        }
        int[] ids = new int[value.size()];
        for (int i = 0; i < ids.length; i++) {
            ids[i] = (int) Fields.integer(path + "[" + i + "]", value.get(i), 0, Integer.MAX_VALUE);
        }
        return new Prompt.Tokens(ids);
    }

    private static JsonNode json(Prompt prompt) {
        return switch (prompt) {
            case Prompt.Text(String text, boolean _) -> JsonNodeFactory.instance.textNode(text);
            case Prompt.Tokens(int[] ids) -> {
                ArrayNode array = JsonNodeFactory.instance.arrayNode(ids.length);
                Arrays.stream(ids).forEach(array::add);
                yield array;
            }
            case Prompt.Chat _ -> throw new IllegalArgumentException("a conversation to calibrate on");
        };
    }

    static List<AdapterWeight> adapters(Fields fields) {
        if (fields.get("adapters").isEmpty()) {
            throw Fields.missing("adapters");
        }
        return AdapterFields.read(fields, MOST_ADAPTERS);
    }

    /** Writes one as {@link #read} takes it. */
    public static ObjectNode write(AdapterOperation operation) {
        ObjectNode json = JsonNodeFactory.instance.objectNode().put("operation", kind(operation));
        switch (operation) {
            case Inspect(AdapterWeight adapter) -> put(json, adapter);
            case Convert(AdapterWeight adapter) -> put(json, adapter);
            case Combine combine -> {
                put(json, combine.adapters());
                json.put("method", combine.method()).put("density", combine.density()).put("majority_sign", combine.majority())
                        .put("rank", combine.rank()).put("seed", combine.seed());
            }
            case Svd(AdapterWeight adapter, int rank, double energy) -> put(json, adapter).put("rank", rank).put("energy", energy);
            case Prune(AdapterWeight adapter, Double ratio, Integer asRank) -> put(json, adapter).put("ratio", ratio).put("as_rank", asRank);
            case Quantize(AdapterWeight adapter, int bits) -> json.put("adapter", adapter.name()).put("bits", bits);
            case AlignMerge align -> {
                json.put("first", align.first().name()).put("second", align.second().name()).put("sinkhorn", align.sinkhorn()).put("weight", align.weight());
                if (!align.calibration().isEmpty()) {
                    ArrayNode texts = json.putArray("calibration");
                    align.calibration().forEach(prompt -> texts.add(json(prompt)));
                }
            }
            case Merge(List<AdapterWeight> adapters, String type) -> put(json, adapters).put("type", type);
            case Generate(AdapterWeight adapter) -> put(json, adapter);
        }
        return json;
    }

    private static ObjectNode put(ObjectNode json, AdapterWeight adapter) {
        json.put("adapter", adapter.name());
        return adapter.task() == null ? json : json.put("task", adapter.task());
    }

    static ObjectNode put(ObjectNode json, List<AdapterWeight> adapters) {
        ArrayNode array = json.putArray("adapters");
        for (AdapterWeight adapter : adapters) {
            ObjectNode one = array.addObject().put("id", adapter.name()).put("weight", adapter.weight());
            if (adapter.task() != null) {
                one.put("task", adapter.task());
            }
        }
        return json;
    }
}
