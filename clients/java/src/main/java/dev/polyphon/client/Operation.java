package dev.polyphon.client;

import com.fasterxml.jackson.databind.JsonNode;

/**
 * An operation on adapters that a server was asked for.
 *
 * @param kind for example {@code combine}
 * @param status {@code queued}, {@code in_progress}, {@code completed}, {@code failed} or {@code cancelled}
 * @param done parts of its work
 * @param total parts there are; 0 while that is not known
 * @param result what it tells, once it is completed; null before
 * @param failure why it failed, or null
 */
public record Operation(String id, String kind, String status, int done, int total, JsonNode result, String failure) {

    /** Whether nothing more will happen. */
    public boolean ended() {
        return !status.equals("queued") && !status.equals("in_progress");
    }

    static Operation of(JsonNode json) {
        return new Operation(json.path("id").asText(), json.path("operation").asText(), json.path("status").asText(), json.at("/progress/done").asInt(),
                json.at("/progress/total").asInt(), json.hasNonNull("result") ? json.get("result") : null, json.at("/error/message").textValue());
    }
}
