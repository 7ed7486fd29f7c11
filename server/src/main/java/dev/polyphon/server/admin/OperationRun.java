package dev.polyphon.server.admin;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polyphon.runtime.AdapterId;
import dev.polyphon.runtime.AdapterOperation;
import dev.polyphon.server.openai.ApiError;
import dev.polyphon.server.openai.Json;
import java.time.Instant;
import java.util.Locale;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.CancellationException;

/** One operation that was asked for: how far it is, and what came of it. Thread-safe. */
final class OperationRun {
    /** Where it is in its life. */
    enum Status {
        QUEUED,
        IN_PROGRESS,
        COMPLETED,
        FAILED,
        CANCELLED;

        boolean ended() {
            return compareTo(COMPLETED) >= 0;
        }

        String text() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    final String id = "op-" + UUID.randomUUID();
    final AdapterOperation operation;
    /** Who names the adapters, and owns the result. */
    final String owner;
    /** What the result is called; null where there is none to keep. */
    final String to;
    final boolean replace;
    final Map<String, String> labels;

    private final Instant created = Instant.now();
    private Instant started;
    private Instant ended;
    private Status status = Status.QUEUED;
    private boolean cancelled;
    private int done;
    private int total;
    private ObjectNode result;
    private ApiError error;

    OperationRun(AdapterOperation operation, String owner, String to, boolean replace, Map<String, String> labels) {
        this.operation = operation;
        this.owner = owner;
        this.to = to;
        this.replace = replace;
        this.labels = labels;
    }

    AdapterId resultId() {
        return new AdapterId(owner, to);
    }

    synchronized Status status() {
        return status;
    }

    /** @return false when it was cancelled before */
    synchronized boolean start() {
        if (status != Status.QUEUED) {
            return false;
        }
        status = Status.IN_PROGRESS;
        started = Instant.now();
        return true;
    }

    /** As {@link dev.polyphon.runtime.OperationProgress} is told. */
    synchronized void at(int newDone, int newTotal) {
        if (cancelled) {
            throw new CancellationException();
        }
        done = newDone;
        total = newTotal;
    }

    /** Ends it now when it waits, else at its next step; has no effect when it has ended. */
    synchronized void cancel() {
        cancelled = true;
        if (status == Status.QUEUED) {
            end(Status.CANCELLED);
        }
    }

    synchronized void completed(ObjectNode facts) {
        result = facts;
        end(Status.COMPLETED);
    }

    synchronized void failed(ApiError reason) {
        error = reason;
        end(Status.FAILED);
    }

    synchronized void stopped() {
        end(Status.CANCELLED);
    }

    private void end(Status how) {
        status = how;
        ended = Instant.now();
    }

    synchronized ObjectNode json() {
        ObjectNode json = JsonNodeFactory.instance.objectNode().put("object", "operation").put("id", id).put("operation", OperationJson.kind(operation))
                .put("status", status.text()).put("created", created.getEpochSecond()).put("started", seconds(started)).put("ended", seconds(ended));
        json.putObject("progress").put("done", done).put("total", total);
        ObjectNode request = OperationJson.write(operation).put("owner", owner);
        if (to != null) {
            request.put("to", to);
        }
        if (request.remove("calibration") instanceof ArrayNode texts) {
            // They may be long, and are not shown again.
            request.put("calibration_texts", texts.size());
        }
        json.set("request", request);
        json.set("result", result);
        if (error != null) {
            json.set("error", error(error));
        }
        return json;
    }

    private static Long seconds(Instant time) {
        return time == null ? null : time.getEpochSecond();
    }

    private static ObjectNode error(ApiError error) {
        byte[] body = error.response().body();
        return (ObjectNode) Json.object(body, 0, body.length).path("error");
    }
}
