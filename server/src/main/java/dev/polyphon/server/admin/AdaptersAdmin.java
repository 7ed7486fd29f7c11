package dev.polyphon.server.admin;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polyphon.runtime.AdapterCatalog;
import dev.polyphon.runtime.AdapterId;
import dev.polyphon.runtime.AdapterInfo;
import dev.polyphon.runtime.AdapterQuery;
import dev.polyphon.runtime.AdapterRegistration;
import dev.polyphon.runtime.AdapterSource;
import dev.polyphon.runtime.AdapterTier;
import dev.polyphon.runtime.AdapterUpload;
import dev.polyphon.runtime.Runtime;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.runtime.RuntimeFault.Kind;
import dev.polyphon.server.http.Exchange;
import dev.polyphon.server.http.Handler;
import dev.polyphon.server.openai.AdapterSettings;
import dev.polyphon.server.openai.ApiError;
import dev.polyphon.server.openai.ApiException;
import dev.polyphon.server.openai.Fields;
import dev.polyphon.server.openai.Json;
import java.io.IOException;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;

/** Lists, registers and changes adapters of all owners. The owner is the query's {@code owner}; without one an adapter is shared. */
final class AdaptersAdmin {
    private static final Set<String> REGISTRATION = Set.of("owner", "name", "base", "source", "labels", "version", "replace", "load");
    private static final Set<String> UPLOAD = Set.of("owner", "base", "version", "replace");
    private static final Set<String> CHANGE = Set.of("version", "pinned", "labels");
    private static final Set<String> FILTERS = Set.of("owner", "prefix", "label", "tier", "failed", "deleted", "limit", "after");

    private final Runtime runtime;
    private final AdapterCatalog catalog;
    private final AdapterSettings settings;

    AdaptersAdmin(Runtime runtime, AdapterSettings settings) {
        this.runtime = runtime;
        this.catalog = runtime.adapters();
        this.settings = settings;
    }

    /** An operation that looks, on a thread of its own. */
    Handler looking(Operation operation) {
        return operation.handler();
    }

    /** An operation that changes something, as far as the settings allow it. */
    Handler changing(Operation operation) {
        return looking(exchange -> {
            if (!settings.loading()) {
                throw refused(403, null, "adapters_fixed", "Adapters cannot be changed while this server runs: the setting 'adapters.loading' is off.");
            }
            return operation.run(exchange);
        });
    }

    ObjectNode list(Exchange exchange) {
        Query query = Query.of(exchange, FILTERS);
        Map<String, String> labels = new HashMap<>();
        for (String label : query.all("label")) {
            int colon = label.indexOf(':');
            if (colon < 1) {
                throw invalid("label", "'label' must be KEY:VALUE, found '" + label + "'.");
            }
            labels.put(label.substring(0, colon), label.substring(colon + 1));
        }
        Set<AdapterTier> tiers = EnumSet.noneOf(AdapterTier.class);
        for (String tier : query.all("tier")) {
            tiers.add(Stream.of(AdapterTier.values()).filter(one -> one.text().equals(tier)).findFirst()
                    .orElseThrow(() -> invalid("tier", "There is no tier '" + tier + "'.")));
        }
        String prefix = query.one("prefix");
        return AdapterJson.page(catalog.list(new AdapterQuery(null, query.one("owner"), prefix == null ? "" : prefix, labels, tiers,
                query.flag("failed"), query.flag("deleted"), query.limit(), query.one("after"))));
    }

    private static AdapterId id(Exchange exchange) {
        String owner = new Query(exchange.request().query()).one("owner");
        return new AdapterId(owner == null ? AdapterId.SHARED : owner, exchange.parameter("name"));
    }

    ObjectNode show(Exchange exchange) {
        AdapterId id = id(exchange);
        return AdapterJson.one(catalog.find(id.owner(), id.name()).filter(info -> info.id().equals(id))
                .orElseThrow(() -> RuntimeFault.of(Kind.UNKNOWN_ADAPTER, "adapter " + id.name() + " is not registered")));
    }

    ObjectNode versions(Exchange exchange) {
        return AdapterJson.list(catalog.versions(id(exchange)));
    }

    ObjectNode register(Exchange exchange) {
        Fields body = body(exchange, REGISTRATION);
        String base = base(body.text("base"));
        String owner = body.text("owner");
        AdapterId id = new AdapterId(owner == null ? AdapterId.SHARED : owner, body.requiredText("name"));
        requireFree(id);
        var registration = new AdapterRegistration(id, base, source(body.requiredText("source")), labels(body), body.text("version"), body.flag("replace", false));
        return AdapterJson.one(body.flag("load", false) ? catalog.load(registration).join() : catalog.register(registration));
    }

    /** Receives an adapter's files while they come, in an archive or one by one, and registers it when it has turned out to work. */
    ObjectNode upload(Exchange exchange) throws IOException {
        Query query = Query.of(exchange, UPLOAD);
        AdapterId id = id(exchange);
        requireFree(id);
        String type = String.valueOf(exchange.request().header("Content-Type")).replaceFirst(";.*", "").strip();
        var registration = new AdapterRegistration(id, base(query.one("base")), new AdapterSource.Upload(), Map.of(), query.one("version"), query.flag("replace"));
        try (AdapterUpload upload = catalog.upload(registration)) {
            switch (type) {
                case "application/zip" -> upload.zip(exchange.body());
                case "application/x-tar", "application/gzip" -> upload.tar(exchange.body());
                case "multipart/form-data" -> parts(exchange, upload);
                default -> throw refused(415, null, "unsupported_media_type", "An adapter is sent as application/zip, application/x-tar, application/gzip (a "
                        + "packed tar) or multipart/form-data, found Content-Type '" + type + "'.");
            }
            return AdapterJson.one(upload.commit());
        }
    }

    /** Files one by one; one that is an archive stands for what is in it. */
    private static void parts(Exchange exchange, AdapterUpload upload) throws IOException {
        try {
            Multipart parts = Multipart.of(exchange.body(), exchange.request().header("Content-Type"));
            for (String name = parts.next(); name != null; name = parts.next()) {
                if (name.endsWith(".zip")) {
                    upload.zip(parts.content());
                } else if (name.matches(".*\\.(tar|tar\\.gz|tgz)")) {
                    upload.tar(parts.content());
                } else {
                    upload.file(name, parts.content());
                }
            }
        } catch (IllegalArgumentException e) {
            throw invalid("files", "The body cannot be read: " + e.getMessage() + ".");
        }
    }

    /** The base that was named, or the only one. */
    private String base(String named) {
        if (named == null && runtime.models().size() != 1) {
            throw invalid("base", "This server has " + runtime.models().size() + " base models: 'base' must name one.");
        }
        return named == null ? runtime.models().getFirst().name() : named;
    }

    private void requireFree(AdapterId id) {
        if (runtime.model(id.name()).isPresent()) {
            throw refused(409, "name", "conflict", "'" + id.name() + "' is the name of a base model.");
        }
    }

    /** A folder is taken as its real path, so that no link leads out of the folders that are allowed. */
    private AdapterSource source(String text) {
        AdapterSource source = AdapterSource.parse(text);
        if (!(source instanceof AdapterSource.Folder folder)) {
            return source;
        }
        try {
            var real = folder.path().toRealPath();
            if (settings.allows(real)) {
                return new AdapterSource.Folder(real);
            }
        } catch (IOException e) {
            if (settings.roots().isEmpty()) {
                throw invalid("source", "There is no folder " + text + ".");
            }
        }
        throw refused(403, "source", "folder_not_allowed", "Adapters may not be loaded from " + text + ": it is in none of the folders of the setting "
                + "'adapters.roots'.");
    }

    ObjectNode change(Exchange exchange) {
        AdapterId id = id(exchange);
        Fields body = body(exchange, CHANGE);
        if (CHANGE.stream().allMatch(field -> body.get(field).isEmpty())) {
            throw invalid(null, "Nothing to change: name 'version', 'pinned' or 'labels'.");
        }
        String version = body.text("version");
        Map<String, String> labels = labels(body);
        boolean pinned = body.flag("pinned", false);
        AdapterInfo info = null;
        if (version != null) {
            info = catalog.move(id, version);
        }
        if (body.get("labels").isPresent()) {
            info = catalog.label(id, labels);
        }
        if (body.get("pinned").isPresent()) {
            info = catalog.pin(id, pinned);
        }
        return AdapterJson.one(info);
    }

    ObjectNode remove(Exchange exchange) {
        AdapterId id = id(exchange);
        boolean purge = new Query(exchange.request().query()).flag("purge");
        if (!purge || catalog.find(id.owner(), id.name()).filter(info -> info.id().equals(id)).isPresent()) {
            catalog.remove(id);
        }
        if (purge) {
            catalog.purge(id);
        }
        return AdapterJson.MAPPER.createObjectNode().put("object", "adapter.deleted").put("name", id.name()).put("owner", id.owner()).put("deleted", true);
    }

    ObjectNode load(Exchange exchange) {
        return AdapterJson.one(catalog.load(id(exchange)).join());
    }

    ObjectNode unload(Exchange exchange) {
        catalog.unload(id(exchange));
        return show(exchange);
    }

    ObjectNode restore(Exchange exchange) {
        return AdapterJson.one(catalog.restore(id(exchange)));
    }

    private static Fields body(Exchange exchange, Set<String> known) {
        byte[] body = exchange.request().body();
        return new Fields(Json.object(body, 0, body.length)).only(known);
    }

    static Map<String, String> labels(Fields body) {
        Map<String, String> labels = new HashMap<>();
        body.get("labels").ifPresent(value -> {
            if (!value.isObject() || value.size() > 64) {
                throw invalid("labels", "'labels' must be an object of at most 64 strings.");
            }
            value.properties().forEach(entry -> {
                if (!entry.getValue().isTextual() || entry.getKey().length() + entry.getValue().textValue().length() > 512) {
                    throw invalid("labels", "A label must be a string, with its name at most 512 characters.");
                }
                labels.put(entry.getKey(), entry.getValue().textValue());
            });
        });
        return labels;
    }

    static ApiException refused(int status, String param, String code, String message) {
        return new ApiException(new ApiError(status, message, "invalid_request_error", param, code, null));
    }

    static ApiException invalid(String param, String message) {
        return ApiException.invalid(param, "invalid_value", message);
    }
}
