package dev.polyphon.server.admin;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polyphon.runtime.AdapterInfo;
import dev.polyphon.runtime.AdapterPage;
import java.util.List;

/** How adapters are written. */
final class AdapterJson {
    static final ObjectMapper MAPPER = new ObjectMapper();

    private AdapterJson() {}

    static ObjectNode page(AdapterPage page) {
        ObjectNode json = list(page.adapters());
        json.put("next", page.next());
        return json;
    }

    static ObjectNode list(List<AdapterInfo> adapters) {
        ObjectNode json = JsonNodeFactory.instance.objectNode().put("object", "list");
        ArrayNode data = json.putArray("data");
        adapters.forEach(info -> data.add(one(info)));
        return json;
    }

    static ObjectNode one(AdapterInfo info) {
        ObjectNode json = JsonNodeFactory.instance.objectNode()
                .put("object", "adapter")
                .put("name", info.name())
                .put("owner", info.owner())
                .put("base", info.base())
                .put("version", info.version())
                .put("kind", info.kind())
                .put("source", info.source().uri())
                .put("tier", info.tier().text())
                .put("bytes", info.bytes())
                .put("pinned", info.pinned())
                .put("registered", info.registered().getEpochSecond());
        if (info.deleted() != null) {
            json.put("deleted", info.deleted().getEpochSecond());
        }
        if (info.failure() != null) {
            json.putObject("failure").put("reason", info.failure().reason()).put("attempts", info.failure().attempts())
                    .put("retry_at", info.failure().retryAt().getEpochSecond());
        }
        if (!info.warnings().isEmpty()) {
            info.warnings().forEach(json.putArray("warnings")::add);
        }
        ObjectNode labels = json.putObject("labels");
        info.labels().forEach(labels::put);
        return json;
    }
}
