package dev.polyphon.server.tenant;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polyphon.runtime.AdapterId;
import dev.polyphon.runtime.RuntimeFault;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;

/** How tenants are written, in the admin API and in the store. A limit of null is none. */
public final class TenantJson {
    private static final Set<String> FIELDS = Set.of("enabled", "share", "limits", "models", "adapters", "default_adapter");
    private static final Set<String> LIMITS =
            Set.of("requests_per_minute", "tokens_per_minute", "tokens_per_day", "concurrent_requests", "connections", "adapters", "adapter_bytes");
    private static final int MOST_PATTERNS = 256;
    private static final long LARGEST = 1L << 53;

    private TenantJson() {}

    public static ObjectNode write(Tenant tenant) {
        ObjectNode json = JsonNodeFactory.instance.objectNode()
                .put("object", "tenant")
                .put("name", tenant.name())
                .put("enabled", tenant.enabled())
                .put("share", tenant.share());
        ObjectNode limits = json.putObject("limits");
        put(limits, "requests_per_minute", tenant.limits().requestsPerMinute());
        put(limits, "tokens_per_minute", tenant.limits().tokensPerMinute());
        put(limits, "tokens_per_day", tenant.limits().tokensPerDay());
        put(limits, "concurrent_requests", tenant.limits().concurrentRequests());
        put(limits, "connections", tenant.limits().connections());
        put(limits, "adapters", tenant.limits().adapters());
        put(limits, "adapter_bytes", tenant.limits().adapterBytes());
        tenant.models().patterns().forEach(json.putArray("models")::add);
        tenant.adapters().patterns().forEach(json.putArray("adapters")::add);
        return json.put("default_adapter", tenant.defaultAdapter()).put("created", tenant.created().getEpochSecond());
    }

    private static void put(ObjectNode json, String field, long value) {
        if (value == Limits.NONE) {
            json.putNull(field);
        } else {
            json.put(field, value);
        }
    }

    /**
     * A tenant with some of its fields changed. What is wrong is a {@link RuntimeFault} of kind {@code INVALID} that names the field.
     *
     * @param changes the fields to change; name and creation cannot be
     */
    public static Tenant apply(Tenant tenant, ObjectNode changes) {
        known(changes, FIELDS, "");
        JsonNode limits = changes.get("limits");
        if (limits != null && !limits.isObject()) {
            throw RuntimeFault.invalid("limits", "'limits' must be an object");
        }
        return new Tenant(tenant.name(),
                flag(changes, tenant.enabled()),
                share(changes, tenant.share()),
                limits == null ? tenant.limits() : limits((ObjectNode) limits, tenant.limits()),
                globs(changes, "models", tenant.models()),
                globs(changes, "adapters", tenant.adapters()),
                defaultAdapter(changes, tenant.defaultAdapter()),
                tenant.created());
    }

    private static void known(ObjectNode json, Set<String> fields, String path) {
        json.fieldNames().forEachRemaining(field -> {
            if (!fields.contains(field)) {
                throw RuntimeFault.invalid(path + field, "there is no field '" + path + field + "'; there are " + String.join(", ", new TreeSet<>(fields)));
            }
        });
    }

    private static boolean flag(ObjectNode json, boolean before) {
        JsonNode value = json.get("enabled");
        if (value != null && !value.isBoolean()) {
            throw RuntimeFault.invalid("enabled", "'enabled' must be true or false, found " + value);
        }
        return value == null ? before : value.booleanValue();
    }

    private static double share(ObjectNode json, double before) {
        JsonNode value = json.get("share");
        if (value != null && !value.isNumber()) {
            throw RuntimeFault.invalid("share", "'share' must be a number, found " + value);
        }
        return value == null ? before : value.doubleValue();
    }

    private static Limits limits(ObjectNode json, Limits before) {
        known(json, LIMITS, "limits.");
        return new Limits(
                limit(json, "requests_per_minute", before.requestsPerMinute()),
                limit(json, "tokens_per_minute", before.tokensPerMinute()),
                limit(json, "tokens_per_day", before.tokensPerDay()),
                limit(json, "concurrent_requests", before.concurrentRequests()),
                limit(json, "connections", before.connections()),
                limit(json, "adapters", before.adapters()),
                limit(json, "adapter_bytes", before.adapterBytes()));
    }

    private static long limit(ObjectNode json, String field, long before) {
        JsonNode value = json.get(field);
        if (value == null) {
            return before;
        }
        if (value.isNull()) {
            return Limits.NONE;
        }
        if (!value.isIntegralNumber() || !value.canConvertToLong() || value.longValue() < 0 || value.longValue() > LARGEST) {
            throw RuntimeFault.invalid("limits." + field, "'limits." + field + "' must be null or a whole number from 0 to 2^53, found " + value);
        }
        return value.longValue();
    }

    private static Globs globs(ObjectNode json, String field, Globs before) {
        JsonNode value = json.get(field);
        if (value == null) {
            return before;
        }
        List<String> patterns = new ArrayList<>();
        if (!(value instanceof ArrayNode array) || array.size() > MOST_PATTERNS) {
            throw RuntimeFault.invalid(field, "'" + field + "' must be an array of at most " + MOST_PATTERNS + " patterns");
        }
        for (JsonNode pattern : array) {
            if (!pattern.isTextual() || pattern.textValue().length() > 200) {
                throw RuntimeFault.invalid(field, "'" + field + "' must hold patterns of at most 200 characters, for example \"acme/*\"");
            }
            patterns.add(pattern.textValue());
        }
        return new Globs(patterns);
    }

    private static String defaultAdapter(ObjectNode json, String before) {
        JsonNode value = json.get("default_adapter");
        if (value == null) {
            return before;
        }
        if (value.isNull()) {
            return null;
        }
        if (!value.isTextual() || !AdapterId.isName(value.textValue())) {
            throw RuntimeFault.invalid("default_adapter", "'default_adapter' must be null or an adapter's name, found " + value);
        }
        return value.textValue();
    }
}
