package dev.polyphon.server.admin;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polyphon.runtime.AdapterId;
import dev.polyphon.runtime.AdapterWeight;
import dev.polyphon.runtime.MergeInfo;
import dev.polyphon.runtime.MergeMode;
import dev.polyphon.runtime.MergeStatus;
import dev.polyphon.runtime.Runtime;
import dev.polyphon.server.http.Exchange;
import dev.polyphon.server.openai.ApiException;
import dev.polyphon.server.openai.Fields;
import dev.polyphon.server.openai.Json;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/** Adapters that are merged while they are served: what there is, merging and unmerging by hand, and what the runtime merges by itself. */
final class MergesAdmin {
    private static final Set<String> WANTED = Set.of("adapters", "owner");

    private final Runtime runtime;

    MergesAdmin(Runtime runtime) {
        this.runtime = runtime;
    }

    ObjectNode status(Exchange exchange) {
        MergeStatus status = runtime.merges().status();
        ObjectNode json = AdapterJson.MAPPER.createObjectNode().put("object", "list").put("mode", status.mode().text())
                .put("bytes", status.bytes()).put("budget", status.budget());
        ArrayNode data = json.putArray("data");
        status.merges().forEach(merge -> data.add(json(merge)));
        return json;
    }

    ObjectNode show(Exchange exchange) {
        return one(exchange, number(exchange).flatMap(id -> runtime.merges().status().merges().stream().filter(merge -> merge.id() == id).findFirst()));
    }

    ObjectNode merge(Exchange exchange) {
        Fields fields = fields(exchange, WANTED);
        String owner = fields.text("owner");
        List<AdapterWeight> adapters = OperationJson.adapters(fields);
        if (adapters.isEmpty()) {
            throw AdaptersAdmin.invalid("adapters", "'adapters' must name at least one adapter.");
        }
        return json(runtime.merges().merge(owner == null ? AdapterId.SHARED : owner, adapters));
    }

    ObjectNode unmerge(Exchange exchange) {
        return one(exchange, number(exchange).flatMap(runtime.merges()::unmerge));
    }

    ObjectNode mode(Exchange exchange) {
        runtime.merges().mode(MergeMode.parse(fields(exchange, Set.of("mode")).requiredText("mode")));
        return status(exchange);
    }

    private static Fields fields(Exchange exchange, Set<String> known) {
        byte[] body = exchange.request().body();
        return new Fields(Json.object(body, 0, body.length)).only(known);
    }

    private static Optional<Long> number(Exchange exchange) {
        try {
            return Optional.of(Long.parseLong(exchange.parameter("id")));
        } catch (NumberFormatException e) {
            return Optional.empty();
        }
    }

    private static ObjectNode one(Exchange exchange, Optional<MergeInfo> merge) {
        return json(merge.orElseThrow(() -> unknown(exchange.parameter("id"))));
    }

    private static ApiException unknown(String id) {
        return AdaptersAdmin.refused(404, null, "merge_not_found", "There is no merge '" + id + "'.");
    }

    private static ObjectNode json(MergeInfo merge) {
        ObjectNode json = AdapterJson.MAPPER.createObjectNode().put("object", "merge").put("id", Long.toString(merge.id())).put("owner", merge.owner());
        OperationJson.put(json, merge.adapters());
        json.put("status", merge.state().text()).put("cause", merge.cause().text()).put("progress", merge.progress()).put("bytes", merge.bytes())
                .put("requests", merge.requests()).put("since", merge.since().getEpochSecond());
        if (!Double.isNaN(merge.saving())) {
            json.put("saving", merge.saving());
        }
        if (merge.reason() != null) {
            json.putObject("error").put("message", merge.reason());
        }
        return json;
    }
}
